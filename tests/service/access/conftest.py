"""An empty database, and the key set of tests/support/server/tokens.py as a file."""

import json

import pytest

from service.records.database import Database
from tests.support.server.tokens import KEY_SET


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    database.open(upgrade=True)
    return database


@pytest.fixture
def key_set(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEY_SET))
    return path
