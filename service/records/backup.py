"""Backs up a SQLite database beside a running service. A copied file lacks the newest rows, which are in its -wal file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

from service.errors import RecordsUnavailable, SettingsError
from service.files import atomic_write
from service.records.database import Database


def back_up(database: Database, path: Path) -> None:
    """Write a snapshot of the database into the new file `path`.

    Raises SettingsError if the database is not SQLite or `path` exists; RecordsUnavailable or OSError if writing fails.
    """
    if not database.is_sqlite:
        raise SettingsError("CXR_DATABASE_URL names a PostgreSQL server; back it up with pg_dump.")
    database.require_file()
    if path.exists():
        raise SettingsError(f"{path} is there already; name a new file.")
    try:
        with atomic_write(path) as draft:
            draft.touch(mode=0o600)  # records are for nobody else
            with database.reading() as connection, closing(sqlite3.connect(draft)) as copy:
                cast(sqlite3.Connection, connection.connection.driver_connection).backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # all in one file
    except sqlite3.Error as fault:
        raise RecordsUnavailable(f"The copy {path} could not be written ({fault}); is there room for it?") from fault
