"""API keys: created, verified and revoked. Only their hashes are stored."""

import hashlib
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from sqlalchemy import insert, select, update

from service.access.caller import Caller
from service.access.roles import Role
from service.errors import NotAuthenticated, SettingsError
from service.records import schema
from service.records.database import Database
from service.records.values import utc_text

# cxr_<key_id>_<secret>. The prefix lets secret scanners recognise a key that was committed or logged by mistake.
_KEY = re.compile(r"cxr_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")

# A key is looked up in the database at most once in this time, so a revocation takes up to this long to take effect.
CACHE_SECONDS = 5.0
_CACHED_KEYS = 4096


@dataclass(frozen=True)
class StoredKey:
    """A key as it is stored. Times are ISO 8601 in UTC; None means never."""

    key_id: str
    name: str
    role: Role
    secret_hash: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None

    def has_expired(self) -> bool:
        """Whether its time is over; a revoked key need not have expired."""
        return self.expires_at is not None and self.expires_at <= utc_text(datetime.now(UTC))

    def is_active(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and not self.has_expired()


class KeyStore:
    """The API keys in the database. Methods block, and raise RecordsUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, role: Role, expires_at: datetime | None = None) -> tuple[str, StoredKey]:
        """Create a key. Returns its text, which cannot be read again later, and what is stored of it.

        name: of its user, as audit rows show it. Raises SettingsError if it is not a plain name.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{name[:64]!r} cannot be a key's name; use up to 128 letters, digits and . _ @ -")
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        expires = None if expires_at is None else utc_text(expires_at)
        stored = StoredKey(key_id, name, role, _hash(secret), utc_text(datetime.now(UTC)), expires, None)
        with self._database.writing() as connection:
            connection.execute(insert(schema.api_keys).values(vars(stored)))
        return f"cxr_{key_id}_{secret}", stored

    def every(self) -> list[StoredKey]:
        """All keys, oldest first; also revoked ones, which audit rows may name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.api_keys).order_by(schema.api_keys.c.created_at)).mappings().all()
        return [_stored(dict(row)) for row in rows]

    def revoke(self, key_id: str) -> None:
        """Revoke a key. Raises SettingsError if it does not exist or is revoked already."""
        keys = schema.api_keys
        ended = update(keys).where(keys.c.key_id == key_id, keys.c.revoked_at.is_(None))
        with self._database.writing() as connection:
            if connection.execute(ended.values(revoked_at=utc_text(datetime.now(UTC)))).rowcount == 0:
                raise SettingsError(f"There is no active key {key_id[:32]!r}; `cxr keys list` shows all.")

    def find(self, key_id: str) -> StoredKey | None:
        """The key with that identifier; None if there is none."""
        with self._database.reading() as connection:
            query = select(schema.api_keys).where(schema.api_keys.c.key_id == key_id)
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _stored(dict(row))


class KeyVerifier:
    """Identifies callers by their API keys. Thread-safe."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        # key_id -> time.monotonic() of the look-up, and what it found. By identifier, so that wrong secrets share one entry.
        self._found: OrderedDict[str, tuple[float, StoredKey | None]] = OrderedDict()
        self._changing = threading.Lock()

    def needs_look_up(self, key: str) -> bool:
        """Whether `verify` would query the database, and block."""
        parts = _KEY.fullmatch(key)
        return parts is not None and self._cached(parts[1]) is None

    def verify(self, key: str) -> Caller:
        """The caller whose key it is. Raises NotAuthenticated, or RecordsUnavailable."""
        parts = _KEY.fullmatch(key)
        if parts is None:
            raise NotAuthenticated("The API key is malformed (it starts with cxr_); check that it was copied completely.")
        stored = self._look_up(parts[1])
        # Compare even if there is no such key, so that the response time does not reveal which keys exist.
        is_right = hmac.compare_digest(_hash(parts[2]), stored.secret_hash if stored else _hash(""))
        if stored is None or not is_right or not stored.is_active():
            raise NotAuthenticated("The API key is unknown, expired or revoked; ask the operator for another one.")
        return Caller(stored.name, stored.role, f"key:{stored.key_id}")

    def _look_up(self, key_id: str) -> StoredKey | None:
        cached = self._cached(key_id)
        if cached is not None:
            return cached[1]
        stored = self._store.find(key_id)
        with self._changing:
            self._found[key_id] = monotonic(), stored
            self._found.move_to_end(key_id)
            while len(self._found) > _CACHED_KEYS:
                self._found.popitem(last=False)
        return stored

    def _cached(self, key_id: str) -> tuple[float, StoredKey | None] | None:
        found = self._found.get(key_id)
        return found if found is not None and monotonic() - found[0] < CACHE_SECONDS else None


def _hash(secret: str) -> str:
    # A fast hash suffices: 256 random bits cannot be guessed, however fast the guesses are.
    return hashlib.sha256(secret.encode()).hexdigest()


def _stored(row: dict[str, str]) -> StoredKey:
    return StoredKey(**{**row, "role": Role(row["role"])})  # type: ignore[arg-type]
