"""Databases for tests: SQLite, and PostgreSQL if CXR_TEST_DATABASE_URL names a server. Each test has its own."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

SERVER = os.environ.get("CXR_TEST_DATABASE_URL")

# A Redis server for rate limits. Nothing is cleaned up: the counts expire within a minute.
REDIS = os.environ.get("CXR_TEST_REDIS_URL")

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(not SERVER, reason="CXR_TEST_DATABASE_URL is not set"))]


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database, which is dropped at the end of the block."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'records.db'}"
        return
    server = make_url(SERVER).set(drivername="postgresql+psycopg")
    name = f"cxr_test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
