"""Finds the files below a folder, and tells by the name which should be pictures."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Of formats that are read, and of other pictures, whose rows state that they are not read.
PICTURE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".dcm", ".dicom", ".dic",
        ".gif", ".jp2", ".j2k", ".j2c", ".jpx", ".jls", ".jxl", ".heic", ".heif", ".avif", ".pgm", ".pnm",
    }
)  # fmt: skip


def is_called_a_picture(path: str) -> bool:
    """Whether the name ends as a picture's does. DICOM files often have no suffix; their content tells."""
    return Path(path).suffix.lower() in PICTURE_SUFFIXES


def find_files(folder: Path, on_fault: Callable[[OSError], None]) -> Iterator[str]:
    """Yield the paths of all files relative to the folder, with / between parts; no hidden files.

    Something with a picture's name is listed even if it is no regular file or a broken link. Links to folders are not followed:
    they may lead in circles, or out of the archive.

    on_fault: called for each folder that cannot be read, whose films are then missing.
    """
    for root, folders, names in os.walk(folder, onerror=on_fault):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            # Path.is_file would raise for a link through a folder that this user may not read.
            if not name.startswith(".") and (is_called_a_picture(name) or os.path.isfile(path)):  # noqa: PTH113
                yield path.relative_to(folder).as_posix()
