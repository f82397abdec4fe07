"""OAuth 2.0 bearer tokens: JSON Web Tokens (RFC 7519) of one issuer, checked against its key set (RFC 7517)."""

import hashlib
import json
import logging
import threading
import urllib.request
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit

import jwt

from service.access.caller import Caller
from service.access.roles import Role
from service.contract.errors import AccessDenied, ConfigError, NotAuthenticated

logger = logging.getLogger(__name__)

# Signatures of public keys only: with a shared secret among them, the public key itself would pass for one (RFC 8725, 3.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

# Clocks differ.
LEEWAY_SECONDS = 30
MAX_TOKEN_BYTES = 16 * 1024
MAX_KEY_SET_BYTES = 1024 * 1024

# A key set is read again after an hour, or when a token names a key that it lacks, but then not for every such token.
REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 10.0
# An issuer that is away does not lock everybody out at once.
USABLE_SECONDS = 24 * 3600.0
_FETCH_SECONDS = 5.0

# A signature takes a tenth of a millisecond to check; a token that was good stays so for a moment.
_CACHE_SECONDS = 60.0
_CACHED_TOKENS = 4096

_STRONGEST_FIRST = (Role.ADMIN, Role.CLINICIAN, Role.AUDIT)


@dataclass(frozen=True)
class Issuer:
    """key_set: file or URL of its JSON Web Key Set. name, audience: what `iss` and `aud` must say. roles_claim: a.b.c."""

    key_set: str
    name: str
    audience: str
    roles_claim: str


class KeySet:
    """The issuer's public keys, read when they are needed. source: a file, or an https URL (http on loopback).

    Raises ConfigError if the source is neither; a file is read at once, so that a wrong one is noticed at the start.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._is_url = "://" in source
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = threading.Lock()
        if self._is_url:
            parts = urlsplit(source)
            if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
                raise ConfigError("CXR_JWKS must be a file or an https URL.")
        else:
            try:
                self._refresh()
            except (OSError, ValueError) as fault:
                raise ConfigError(f"CXR_JWKS is {source}, which is not a readable JSON Web Key Set: {fault}.") from fault

    def knows(self, key_id: str | None) -> bool:
        """Whether `find` would answer at once."""
        return key_id in self._keys and monotonic() - self._read_at < REFRESH_SECONDS

    def find(self, key_id: str | None) -> jwt.PyJWK:
        """The key of that identifier; may ask the issuer, and block. Raises NotAuthenticated."""
        if not self.knows(key_id):
            with self._reading:  # one asks, the others wait for what it brings
                if not self.knows(key_id) and monotonic() - self._tried_at >= RETRY_SECONDS:
                    self._try_to_refresh()
        key = self._keys.get(key_id)
        if key is None or monotonic() - self._read_at > USABLE_SECONDS:
            raise NotAuthenticated("The token is signed with a key that its issuer does not publish; get a new token.")
        return key

    def _try_to_refresh(self) -> None:
        try:
            self._refresh()
        except (OSError, ValueError, HTTPException) as fault:
            logger.warning("The token issuer's keys cannot be read: %s", type(fault).__name__)

    def _refresh(self) -> None:
        self._tried_at = monotonic()
        text = _fetch(self._source) if self._is_url else Path(self._source).read_bytes()[:MAX_KEY_SET_BYTES]
        self._keys = _public_keys(json.loads(text))
        self._read_at = monotonic()


class TokenVerifier:
    """Tells callers by their tokens. May be used by several threads. Raises ConfigError for a key set that cannot be had."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._keys = KeySet(issuer.key_set)
        self._good: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._changing = threading.Lock()

    def needs_look_up(self, token: str) -> bool:
        """Whether `verify` might ask the issuer, and so block."""
        return self._cached(_digest(token)) is None and not self._keys.knows(_key_id(token))

    def verify(self, token: str) -> Caller:
        """The caller whose token it is. Raises NotAuthenticated, or AccessDenied if it names none of our roles."""
        digest = _digest(token)
        cached = self._cached(digest)
        if cached is not None:
            return cached
        key = self._keys.find(_key_id(token))
        if key.algorithm_name not in ALGORITHMS:
            raise NotAuthenticated("The token's key is not one for public signatures.")
        try:
            claims = jwt.decode(
                token,
                key,
                # A key set's key is for one algorithm; what the token's own header says is not asked.
                algorithms=[key.algorithm_name],
                issuer=self._issuer.name,
                audience=self._issuer.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as fault:
            raise NotAuthenticated(f"The token is not valid ({type(fault).__name__}); get a new one.") from fault
        caller = self._caller_of(claims)
        with self._changing:
            self._good[digest] = min(float(claims["exp"]), time() + _CACHE_SECONDS), caller
            while len(self._good) > _CACHED_TOKENS:
                self._good.popitem(last=False)
        return caller

    def _cached(self, digest: bytes) -> Caller | None:
        until, caller = self._good.get(digest, (0.0, None))
        return caller if until > time() else None

    def _caller_of(self, claims: Mapping[str, Any]) -> Caller:
        subject = str(claims["sub"])
        if not 1 <= len(subject) <= 256 or not subject.isprintable():
            raise NotAuthenticated("The token's subject is not a plain name of up to 256 characters.")
        named = _named_roles(claims, self._issuer.roles_claim)
        role = next((role for role in _STRONGEST_FIRST if role in named), None)
        if role is None:
            raise AccessDenied(
                f"The token names none of the roles {', '.join(Role)} in its claim {self._issuer.roles_claim!r}; "
                "ask whoever manages accounts for one."
            )
        return Caller(subject, role, f"token:{subject}")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _key_id(token: str) -> str | None:
    """Of the token's header, which nobody has checked yet. Raises NotAuthenticated if there is none."""
    if len(token) > MAX_TOKEN_BYTES:
        raise NotAuthenticated(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as fault:
        raise NotAuthenticated("The bearer token is not a JSON Web Token; check that it was copied whole.") from fault
    key_id: str | None = header.get("kid")
    return key_id


def _named_roles(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    value: Any = claims
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()


def _public_keys(document: Any) -> dict[str | None, jwt.PyJWK]:
    """By identifier. Raises ValueError if there is none that could sign a token."""
    keys: dict[str | None, jwt.PyJWK] = {}
    entries = document.get("keys") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        if not isinstance(entry.get("kid"), str | None):
            continue
        try:
            keys[entry.get("kid")] = jwt.PyJWK(entry)
        except jwt.PyJWTError:  # of a kind that we do not read, beside others that we do
            continue
    if not keys:
        raise ValueError("it holds no public key for signatures")
    return keys


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An issuer's keys come from the address that the operator named, and from no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _fetch(url: str) -> bytes:
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(url, timeout=_FETCH_SECONDS) as answer:
        content: bytes = answer.read(MAX_KEY_SET_BYTES + 1)
    if len(content) > MAX_KEY_SET_BYTES:
        raise ValueError("it is too long")
    return content
