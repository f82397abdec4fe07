"""Which files lie below a folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def find_files(folder: Path, on_fault: Callable[[OSError], None]) -> Iterator[str]:
    """Paths of regular files relative to the folder, with / between parts, in the order of their parts; hidden ones left out.

    Links to folders are not followed: they may lead in circles, or out of the archive. on_fault: is told of a folder that
    cannot be read, whose films are then missing.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as fault:
        on_fault(fault)
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            for below in find_files(folder / entry.name, on_fault):
                yield f"{entry.name}/{below}"
        elif entry.is_file():
            yield entry.name
