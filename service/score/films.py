"""Which files lie below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path


def find_files(folder: Path) -> Iterator[str]:
    """Paths of regular files relative to the folder, with / between parts, in the order of their parts; hidden ones left out.

    Links to folders are not followed: they may lead in circles, or out of the archive.
    """
    with os.scandir(folder) as entries:
        found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            for below in find_files(folder / entry.name):
                yield f"{entry.name}/{below}"
        elif entry.is_file():
            yield entry.name
