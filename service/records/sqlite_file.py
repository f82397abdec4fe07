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
        self._opened: tuple[Identity | None, ...] | None = None
        self._size_bytes = self._schema_version = 0
        self._is_cut = False

    def remember(self, schema_version: int) -> None:
        """Remember the files that the first connection opened. schema_version: PRAGMA schema_version."""
        if self._opened is None:
            found = self._look()
            self._size_bytes, self._schema_version, self._is_cut = _size_bytes(found), schema_version, False
            self._opened = tuple(_identity(each) for each in found)

    def forget(self) -> None:
        """Call when all connections are closed."""
        self._opened = None

    def check_names(self) -> None:
        """Raise RecordsUnavailable if the names lead to other files than those opened, or to none; the log says which."""
        if self._opened is not None:
            self._compare(self._look(), self._opened)

    def check(self, schema_version: int) -> None:
        """As `check_names`; raises RecordsUnavailable also if the database was cut short.

        schema_version: in the current transaction. Only VACUUM makes a database shorter, and it raises this version.
        """
        found = self._look()
        size_bytes = _size_bytes(found)
        if size_bytes == 0 or (size_bytes < self._size_bytes and schema_version == self._schema_version):
            self._is_cut = True
        self._size_bytes, self._schema_version = size_bytes, schema_version
        if self._is_cut:
            self._refuse(f"{self._path} was cut short under the running service; stop it, and start it again on a backup.")
        if self._opened is not None:
            self._compare(found, self._opened)

    def _compare(self, files: list[os.stat_result | None], identities: tuple[Identity | None, ...]) -> None:
        for ending, found, opened in zip(_ENDINGS, files, identities, strict=True):
            if _identity(found) != opened:
                became = "is gone" if found is None else "was replaced by another file"
                self._refuse(
                    f"{self._path}{ending} {became} under the running service; nothing is put on record until the same file is "
                    "back, or the service is started again on the right one."
                )

    def _look(self) -> list[os.stat_result | None]:
        path = os.path.realpath(self._path)  # SQLite resolves links before it puts files beside the database
        return [_stat(path + ending) for ending in _ENDINGS]

    def _refuse(self, fault: str) -> None:
        logger.error("%s", fault)
        raise RecordsUnavailable("The records cannot be read or written at the moment; try again shortly.")


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 (faster; called several times a transaction)
    except OSError:
        return None


def _identity(found: os.stat_result | None) -> Identity | None:
    return None if found is None else (found.st_dev, found.st_ino)


def _size_bytes(found: list[os.stat_result | None]) -> int:
    return 0 if found[0] is None else found[0].st_size
