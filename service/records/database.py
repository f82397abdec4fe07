"""One way to SQLite and PostgreSQL: engines, transactions, the version of the tables, and what becomes of database errors."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from service.errors import RecordsUnavailable, SettingsError
from service.records.sqlite_file import SqliteFile

logger = logging.getLogger(__name__)

# The newest of `migrations/versions`; compared before Alembic is imported, which takes a quarter of a second and 20 MB.
SCHEMA_VERSION = "0002"

MIGRATIONS = Path(__file__).parent / "migrations"

# An answer waits for its audit row; after this long it is refused instead.
LOCK_WAIT_SECONDS = 5

# Any number: who upgrades the tables, or writes the chain, holds the lock of that number.
_UPGRADE_LOCK = 4_072_919

_AWAY = "The records cannot be read or written at the moment; try again shortly."
_DAMAGED = "The file of the records is damaged, or is no SQLite database; the operator must restore a backup."

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg"}


class Database:
    """url: of SQLAlchemy, sqlite:///path or postgresql://…; nothing is opened before `open`. Raises SettingsError."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        # Errors are logged with their statement, but never with its values.
        self.engine = create_engine(self._url, hide_parameters=True, **_engine_options(self.is_sqlite))
        self._file = SqliteFile(Path(str(self._url.database))) if self.is_sqlite else None
        if self._file is not None:
            _begin_as_told(self.engine, self._file)
        else:
            _check_options(self.engine)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    def open(self, upgrade: bool) -> None:
        """Connect, and compare the tables with `SCHEMA_VERSION`. upgrade: make or change them where they are older.

        Raises RecordsUnavailable if the server cannot be reached, SettingsError for what only an operator can mend.
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
            if (
                isinstance(unavailable.__cause__, OperationalError)
                and self.is_sqlite
                and "locked" not in str(unavailable.__cause__)
            ):
                raise self._unwritable() from unavailable
            if "file is not a database" in str(unavailable.__cause__):  # SQLITE_NOTADB
                raise SettingsError(f"CXR_DATABASE_URL ({self.name}) names a file that is no SQLite database.") from unavailable
            raise
        if version != SCHEMA_VERSION:
            raise SettingsError(
                f"The tables of CXR_DATABASE_URL ({self.name}) have version {version}, this release reads {SCHEMA_VERSION}; "
                "run `cxr records upgrade`, or go back to the release that wrote them."
            )

    def require_file(self) -> None:
        """Raises SettingsError if a SQLite database is not there: to open it would make an empty one."""
        if self.is_sqlite and not Path(str(self._url.database)).exists():
            raise SettingsError(
                f"There is no file at CXR_DATABASE_URL ({self.name}); correct the path, or make the database with "
                "`cxr records upgrade`."
            )

    def _unwritable(self) -> SettingsError:
        return SettingsError(
            f"CXR_DATABASE_URL ({self.name}) cannot be written; name a file in a folder that the service may write, "
            "for example sqlite:////var/lib/chest-xray/records.db, or a PostgreSQL server."
        )

    def _upgrade(self, connection: Connection) -> str | None:
        # Not at import: see SCHEMA_VERSION.
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
        """A transaction that may write; on SQLite it holds the one write lock from its beginning.

        Raises RecordsUnavailable for whatever the database refuses, and if it is no longer the one that was opened.
        """
        with self._reported(), self.engine.begin() as connection:
            yield connection
            self._check_file(connection)  # last: what is committed from here on is in the file

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database however long it takes. Raises RecordsUnavailable as `writing`."""
        options = {"sqlite_reads": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._reported(), self.engine.connect() as connection:
            reading = connection.execution_options(**options)
            self._check_file(reading)
            yield reading

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            if self._file is not None:
                self._file.check_names()  # first: a new connection would make a file where none is
            yield
        except SQLAlchemyError as fault:
            logger.warning("The database %s refused: %s", self.name, _short(fault))
            raise RecordsUnavailable(_DAMAGED if _is_damage(fault) else _AWAY) from fault

    def _check_file(self, connection: Connection) -> None:
        if self._file is not None:
            self._file.check(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self._file is not None:
            self._file.forget()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as fault:  # ValueError: of a port that is no number
        raise SettingsError(
            "CXR_DATABASE_URL is no database URL; write sqlite:////folder/records.db or postgresql://user:password@host/database."
        ) from fault
    if parsed.drivername not in _DRIVERS:
        raise SettingsError(
            f"CXR_DATABASE_URL names {parsed.drivername!r}; SQLite (sqlite) and PostgreSQL (postgresql) are served."
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("CXR_DATABASE_URL names no file; records in memory would not outlive the process.")
    if parsed.get_backend_name() == "sqlite" and parsed.query:
        raise SettingsError(
            "CXR_DATABASE_URL has options behind its ?, of which SQLite's takes none; write sqlite:////folder/records.db."
        )
    if parsed.port is not None and not 0 < parsed.port <= 65535:
        raise SettingsError(f"CXR_DATABASE_URL names the port {parsed.port}, which is not between 1 and 65535.")
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def _engine_options(is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {"connect_args": {"timeout": LOCK_WAIT_SECONDS, "check_same_thread": False}}
    # The server ends what waits too long for a lock; the client's system a connection whose server has gone silent.
    options = f"-c lock_timeout={LOCK_WAIT_SECONDS}s -c statement_timeout=30s -c timezone=UTC"
    return {
        "connect_args": {
            "connect_timeout": LOCK_WAIT_SECONDS,
            "tcp_user_timeout": 1000 * LOCK_WAIT_SECONDS,
            "options": options,
        },
        "pool_timeout": LOCK_WAIT_SECONDS,
    }


def _check_options(engine: Engine) -> None:
    """Of PostgreSQL's client library, by their names. Raises SettingsError."""
    # Not at import: SQLite does without it.
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    try:
        options = engine.dialect.create_connect_args(engine.url)[1]
        make_conninfo(**{name: value for name, value in options.items() if name != "context"})  # which is Python's driver's own
    except ProgrammingError as fault:
        raise SettingsError(f"CXR_DATABASE_URL has an option that PostgreSQL does not know: {fault}.") from fault


def _begin_as_told(engine: Engine, file: SqliteFile) -> None:
    """Python's sqlite3 begins transactions only when something is written; the chain must be locked before it is read."""

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        # Readers and the one writer do not wait for each other; and a commit is on the disk before it is told.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        file.remember(connection.execute("PRAGMA schema_version").fetchone()[0])

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
    """Whether SQLite finds its file in disorder, which does not pass (sqlite.org/rescode.html)."""
    cause = fault.orig if isinstance(fault, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorname", "").startswith(
        ("SQLITE_CORRUPT", "SQLITE_NOTADB")
    )


def _short(fault: SQLAlchemyError) -> str:
    """The driver's message without the statement."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
