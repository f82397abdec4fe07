"""JSON files that are whole or not there, whatever is killed while they are written."""

import json
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: Any) -> None:
    """Write beside the file, then rename: whoever reads it meanwhile finds the one before."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    draft.replace(path)
