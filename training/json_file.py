"""JSON files that are whole or not there, whatever is killed while they are written."""

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: Any) -> None:
    """Write beside the file, then rename: whoever reads it meanwhile finds the one before."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
