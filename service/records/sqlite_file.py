"""Notices that a SQLite database's files were deleted, replaced or cut short while connections are open."""

import logging
import os
from pathlib import Path

from service.errors import RecordsUnavailable

logger = logging.getLogger(__name__)

# The database, and beside it, while a connection is open, its write-ahead log and that log's index.
_ENDINGS = ("", "-wal", "-shm")

Identity = tuple[int, int]


class SqliteFile:
    """Watches the files of one database.

    SQLite itself would go on writing into a deleted file, which vanishes with the process. Files are looked up by name only:
    opening and closing one would drop this process's locks on it. May be used by several threads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Device and inode of each file; None while no connection is open.
        self._opened: list[Identity | None] | None = None
        self._size_bytes = 0

    def remember(self) -> None:
        """Remember the files that the first connection opened."""
        if self._opened is None:
            self._opened, self._size_bytes = self._look()

    def forget(self) -> None:
        """Call when all connections are closed."""
        self._opened = None

    def check(self) -> None:
        """Raise RecordsUnavailable if the names lead to other files than those opened, or to none, or to a shorter database;
        the log says which.
        """
        if self._opened is None:
            return
        known_bytes = self._size_bytes  # read first: another thread may see the database grow meanwhile
        files, size_bytes = self._look()
        for ending, found, opened in zip(_ENDINGS, files, self._opened, strict=True):
            if found != opened:
                self._refuse(ending, "is gone" if found is None else "was replaced by another file")
        if size_bytes < known_bytes:
            self._refuse("", "was cut short")  # or made shorter by VACUUM, which only a restart accepts
        self._size_bytes = size_bytes

    def _look(self) -> tuple[list[Identity | None], int]:
        """Identity of each file, and the database's size in bytes."""
        path = os.path.realpath(self._path)  # SQLite resolves links before it puts files beside the database
        found = [_stat(path + ending) for ending in _ENDINGS]
        files = [None if each is None else (each.st_dev, each.st_ino) for each in found]
        return files, 0 if found[0] is None else found[0].st_size

    def _refuse(self, ending: str, became: str) -> None:
        logger.error(
            "%s%s %s under the running service; nothing is put on record until the same file is back, or the service is "
            "started again on the right one.",
            self._path,
            ending,
            became,
        )
        raise RecordsUnavailable("The records cannot be read or written at the moment; try again shortly.")


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 (faster; called several times a transaction)
    except OSError:
        return None
