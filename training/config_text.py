"""TrainConfig -> TOML, such as training.run.train --config reads: the inverse of `load_config`."""

import json
from typing import Any

from training.config import TrainConfig


def as_toml(config: TrainConfig, comment: str = "") -> str:
    """Every section and key, with `comment` in front of them; reads back to an equal configuration."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for section, values in config.as_dict().items():
        lines += ["", f"[{section}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: Any) -> str:
    # Strings and booleans are written in TOML as in JSON; a float keeps every digit.
    return repr(value) if isinstance(value, float) else json.dumps(value)
