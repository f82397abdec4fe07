"""Files on disk that several processes share: atomic writes and locks. Knows nothing of what is in them."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a draft beside `path`, for the block to write; rename it to `path` when the block ends.

    After a kill or a power failure `path` is either complete or as it was before. If the block raises, the draft is removed.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        yield draft
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, content: Any, *, allow_nan: bool = False) -> None:
    """Write `content` as indented JSON, atomically.

    allow_nan: write NaN and infinity, which JSON lacks, as Python writes and reads them; else they raise ValueError.
    """
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(content, indent=2, allow_nan=allow_nan) + "\n", "utf-8")


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(path: Path, *, wait: bool = True) -> int | None:
    """Lock a file or folder between processes (flock). On NFS, the lock of a file holds across machines, that of a folder not.

    Returns the open descriptor, which holds the lock until it is closed or the process ends; None if another process holds the
    lock and `wait` is false. Raises OSError, for example FileNotFoundError.
    """
    # On NFS, an exclusive lock needs a descriptor that can write (flock(2)); a folder's cannot.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
