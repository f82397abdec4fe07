"""The command line that a report shows, without the paths of this machine."""

import shlex
from pathlib import Path


def command_line(command: str, *arguments: object, **options: object) -> str:
    """The words as a shell takes them, such as `cxr evaluate BUNDLE --not-chest other`.

    An absolute path is shortened to its last part. A list repeats its option.
    """
    words = [*command.split(), *map(_shown, arguments)]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", _shown(each)]
    return shlex.join(words)


def _shown(value: object) -> str:
    return value.name if isinstance(value, Path) and value.is_absolute() else str(value)
