"""A copy of a SQLite database beside a running service, which a copy of its file is not."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

from service.errors import RecordsUnavailable, SettingsError
from service.files import atomic_write
from service.records.database import Database


def back_up(database: Database, path: Path) -> None:
    """Write the state of this moment into one new file. The newest rows lie beside the database's own file, in its log.

    Raises SettingsError if the database is not SQLite's, or if there is something at `path`; RecordsUnavailable, or OSError.
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
