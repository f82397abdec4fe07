"""A server with access control by keys."""

from contextlib import contextmanager
from types import SimpleNamespace

import httpx

from service.access.keys import KeyStore
from service.access.roles import Role
from service.records.store import RecordStore
from tests.support.server.serving import served


@contextmanager
def guarded_server(url, bundle_path, **settings):
    """The server, a client, the records in the database at `url`, and the headers that hold a key of each role."""
    records = RecordStore(url)
    records.open()
    keys = KeyStore(records.database)
    defaults = {
        "CXR_BUNDLE": str(bundle_path),
        "CXR_DATABASE_URL": url,
        "CXR_AUTH": "keys",
        "CXR_ENVIRONMENT": "production",
        "CXR_RATE_LIMIT": "10000/minute",
        "CXR_TIMEOUT_SECONDS": "115",
    }
    with served(defaults | settings) as server, httpx.Client(base_url=server.address, timeout=120) as client:
        yield SimpleNamespace(
            server=server,
            address=server.address,
            client=client,
            records=records,
            key={role: {"X-API-Key": keys.create(f"{role}_1", role)[0]} for role in Role},
        )
    records.close()
