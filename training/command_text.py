"""A command line as it may be passed on: without telling where folders lie on this machine."""

import shlex
from collections.abc import Iterable
from pathlib import Path


def published_command(module: str, words: Iterable[str]) -> str:
    """`python -m module words…`, of absolute paths (`/data/cxr`, `--data=/data/cxr`) the last name alone."""
    return shlex.join(["python", "-m", module, *map(_without_folders, words)])


def _without_folders(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{Path(value).name if Path(value).is_absolute() else value}"
