"""A lock between processes, which the kernel releases when its holder ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock `path`, which is created if it does not exist.

    Raises OSError if it cannot be written, and, without `wait`, BlockingIOError if another process holds it.
    """
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
