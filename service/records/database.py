"""Connects to SQLite or PostgreSQL: engines, transactions, schema version, database errors."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError

from service.errors import RecordsUnavailable, SettingsError
from service.records.sqlite_file import SqliteFile

logger = logging.getLogger(__name__)

# The newest in `migrations/versions`. Written here because importing Alembic takes a quarter of a second and 20 MB.
SCHEMA_VERSION = "0003"

MIGRATIONS = Path(__file__).parent / "migrations"

# An answer waits this long for its audit row, then the request is refused.
LOCK_WAIT_SECONDS = 5

# Any number. Names PostgreSQL's advisory lock that lets one process at a time upgrade the tables.
_UPGRADE_LOCK = 4_072_919

_AWAY = "The records cannot be read or written at the moment; try again shortly."
_DAMAGED = "The file of the records is damaged, or is no SQLite database; the operator must restore a backup."

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg"}


class TablesOutdated(SettingsError):
    """There are no tables yet, or those of an older release."""


class Database:
    """One database; nothing is opened before `open`.

    url: sqlite:///path or postgresql://…. Raises SettingsError if it cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        # Logs show statements of errors, never their values.
        self.engine = create_engine(self._url, hide_parameters=True, **_engine_options(self.is_sqlite))
        self._file = SqliteFile(Path(str(self._url.database))) if self.is_sqlite else None
        if self._file is not None:
            _begin_explicitly(self.engine, self._file)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    def open(self, upgrade: bool) -> None:
        """Connect and compare the tables' version with `SCHEMA_VERSION`.

        upgrade: create or upgrade older tables; without it, these raise TablesOutdated. Raises RecordsUnavailable if the
        server cannot be reached, SettingsError for faults that an operator must mend.
        """
        if not upgrade:
            self.require_file()
        if self.is_sqlite and self._url.database:
            try:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as fault:
                raise self._unwritable() from fault
        try:
            with self.writing() as connection:
                version = _version(connection)
                if version == SCHEMA_VERSION:
                    return
                if upgrade:
                    version = self._upgrade(connection)
        except RecordsUnavailable as unavailable:
            cause = unavailable.__cause__
            if isinstance(cause, OperationalError) and self.is_sqlite and "locked" not in str(cause):
                raise self._unwritable() from unavailable
            if "file is not a database" in str(cause):  # SQLITE_NOTADB
                raise SettingsError(f"CXR_DATABASE_URL ({self.name}) names a file that is no SQLite database.") from unavailable
            if isinstance(cause, ProgrammingError):  # an option that psycopg does not know, or rights that the user lacks
                reason = str(cause.orig).partition("\n")[0]
                raise SettingsError(f"CXR_DATABASE_URL ({self.name}) cannot be used: {reason}.") from unavailable
            raise
        if version != SCHEMA_VERSION:
            kind = TablesOutdated if version is None or version < SCHEMA_VERSION else SettingsError
            raise kind(
                f"The tables of CXR_DATABASE_URL ({self.name}) have version {version}, this release reads {SCHEMA_VERSION}; "
                "run `cxr records upgrade`, or install the release that wrote them."
            )

    def require_file(self) -> None:
        """Raise TablesOutdated if the SQLite file does not exist: opening it would create an empty database."""
        if self.is_sqlite and not Path(str(self._url.database)).exists():
            raise TablesOutdated(
                f"There is no file at CXR_DATABASE_URL ({self.name}); correct the path, or create the database with "
                "`cxr records upgrade`."
            )

    def require_writable_folder(self) -> None:
        """Raise SettingsError if the SQLite file does not exist, and its folder cannot be written or created."""
        if self.is_sqlite and not (path := Path(str(self._url.database)).absolute()).exists():
            folder = next(folder for folder in path.parents if folder.exists())
            if not folder.is_dir() or not os.access(folder, os.W_OK):
                raise self._unwritable()

    def _unwritable(self) -> SettingsError:
        return SettingsError(
            f"CXR_DATABASE_URL ({self.name}) cannot be written; name a file in a folder that the service may write, "
            "for example sqlite:////var/lib/chest-xray/records.db, or a PostgreSQL server."
        )

    def _upgrade(self, connection: Connection) -> str | None:
        # Imported late, see SCHEMA_VERSION.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _UPGRADE_LOCK})
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a large table takes longer than any call may
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        version = _version(connection)
        known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
        if version is None or version in known:
            command.upgrade(config, SCHEMA_VERSION)
        return _version(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write. On SQLite it holds the write lock from its beginning.

        Raises RecordsUnavailable for every database error, and if the SQLite file was replaced.
        """
        with self._reported(), self.engine.begin() as connection:
            yield connection
            self._check_file()  # last, just before the commit

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one snapshot of the database, however long it takes. Raises as `writing` does."""
        options = {"sqlite_reads": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._reported(), self.engine.connect() as connection:
            reading = connection.execution_options(**options)
            self._check_file()
            yield reading

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            self._check_file()  # first: a new connection would create a missing file
            yield
        except SQLAlchemyError as fault:
            logger.warning("The database %s refused: %s", self.name, _short(fault))
            raise RecordsUnavailable(_DAMAGED if _is_damage(fault) else _AWAY) from fault

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self._file is not None:
            self._file.forget()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as fault:  # ValueError: the port is no number
        raise SettingsError(
            "CXR_DATABASE_URL is no database URL; write sqlite:////folder/records.db or postgresql://user:password@host/database."
        ) from fault
    if parsed.drivername not in _DRIVERS:
        raise SettingsError(
            f"CXR_DATABASE_URL names {parsed.drivername!r}; SQLite (sqlite) and PostgreSQL (postgresql) are supported."
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("CXR_DATABASE_URL names no file; records in memory would not outlive the process.")
    if parsed.get_backend_name() == "sqlite" and parsed.query:
        raise SettingsError(
            "CXR_DATABASE_URL has options after a ?, which SQLite's URL does not take; write sqlite:////folder/records.db."
        )
    if parsed.port is not None and not 0 < parsed.port <= 65535:
        raise SettingsError(f"CXR_DATABASE_URL names the port {parsed.port}, which is not between 1 and 65535.")
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def _engine_options(is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {"connect_args": {"timeout": LOCK_WAIT_SECONDS, "check_same_thread": False}}
    # The server ends waits for locks; the client's kernel ends connections to a silent server.
    options = f"-c lock_timeout={LOCK_WAIT_SECONDS}s -c statement_timeout=30s -c timezone=UTC"
    return {
        "connect_args": {
            "connect_timeout": LOCK_WAIT_SECONDS,
            "tcp_user_timeout": 1000 * LOCK_WAIT_SECONDS,
            "options": options,
        },
        "pool_timeout": LOCK_WAIT_SECONDS,
    }


def _begin_explicitly(engine: Engine, file: SqliteFile) -> None:
    """Begin transactions explicitly. Python's sqlite3 would begin them at the first write, but appending reads the chain's end
    before that, and must hold the write lock by then.
    """

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        # Readers and the writer do not wait for each other; a commit returns when it is on the disk.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA schema_version")  # opens the files
        file.remember()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        reads = connection.get_execution_options().get("sqlite_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _is_damage(fault: SQLAlchemyError) -> bool:
    """Whether SQLite reports a damaged file, which retrying does not mend (sqlite.org/rescode.html)."""
    cause = fault.orig if isinstance(fault, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorname", "").startswith(
        ("SQLITE_CORRUPT", "SQLITE_NOTADB")
    )


def _short(fault: SQLAlchemyError) -> str:
    """The driver's message, without the statement."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
