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
from service.errors import AccessDenied, IssuerUnavailable, NotAuthenticated, SettingsError

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
# While there are no keys at all, nobody comes in.
FIRST_RETRY_SECONDS = 2.0

# More keys than issuers publish at once; each costs a tenth of a millisecond, whoever sends the token.
MAX_CANDIDATES = 16

# A signature takes a tenth of a millisecond to check; a token that was good stays so for a moment.
_CACHE_SECONDS = 60.0
_CACHED_TOKENS = 4096

_ISSUER_AWAY = "The keys of the token issuer cannot be read at this moment, so that no new token can be checked; try again."

# What PyJWT finds wrong with a token whose signature is right, in words; the first kind that fits.
_FAULTS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired"),
    (jwt.ImmatureSignatureError, "The token is not valid yet"),
    (jwt.InvalidIssuedAtError, "The token is not valid yet"),
    (jwt.InvalidAudienceError, "The token is meant for another service"),
    (jwt.InvalidIssuerError, "The token comes from another issuer"),
    (jwt.MissingRequiredClaimError, "The token lacks one of the claims exp, iss, aud and sub"),
)

_STRONGEST_FIRST = (Role.ADMIN, Role.CLINICIAN, Role.AUDIT)


@dataclass(frozen=True)
class Issuer:
    """key_set: file or URL of its JSON Web Key Set. name, audience: what `iss` and `aud` must say.

    roles_claim: where its roles are, see `_claim`.
    """

    key_set: str
    name: str
    audience: str
    roles_claim: str


class KeySet:
    """The issuer's public keys, read when they are needed. source: a file, or an https URL (http on loopback).

    Raises SettingsError if the source is neither; a file is read at once, so that a wrong one is noticed at the start. May be
    used by several threads; its methods may ask the issuer, and block.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._is_url = "://" in source
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._read_at = self._tried_at = float("-inf")
        self._is_away = False
        self._reading = threading.Lock()
        if self._is_url:
            if not _is_trustworthy(source):
                raise SettingsError("CXR_JWKS must be a file or an https URL.")
        else:
            try:
                self._refresh()
            except (OSError, ValueError) as fault:
                raise SettingsError(f"CXR_JWKS is {source}, {_why_unreadable(fault)}.") from fault

    def candidates(self, key_id: str | None) -> tuple[jwt.PyJWK, ...]:
        """The keys that may have signed a token of that key identifier, MAX_CANDIDATES at most; none if there are none.

        Raises IssuerUnavailable if no key set was read within USABLE_SECONDS.
        """
        if monotonic() - self._read_at >= REFRESH_SECONDS:
            self._refresh_if_due(waiting=not self._is_usable())
        if not self._is_usable():
            raise IssuerUnavailable(_ISSUER_AWAY)
        # An identifier is optional on either side (RFC 7515, 4.1.4; RFC 7517, 4.5), and need not be unique in a set.
        found = [key for key in self._keys if key.key_id == key_id or None in (key.key_id, key_id)]
        found.sort(key=lambda key: key.key_id != key_id)
        return tuple(found[:MAX_CANDIDATES])

    def newer_candidates(self, key_id: str | None, tried: tuple[jwt.PyJWK, ...]) -> tuple[jwt.PyJWK, ...]:
        """Those of a key set that was read after `tried` did not fit: the issuer may have changed its keys.

        Raises IssuerUnavailable if a key of that identifier is not known, and the issuer, who may publish it, cannot be asked.
        """
        self._refresh_if_due(waiting=True)
        if self._is_away and not any(key.key_id == key_id for key in tried):
            raise IssuerUnavailable(_ISSUER_AWAY)
        found = self.candidates(key_id)
        return () if found == tried else found

    def _is_usable(self) -> bool:
        return monotonic() - self._read_at <= USABLE_SECONDS

    def _refresh_if_due(self, waiting: bool) -> None:
        """Ask the issuer, unless it was asked a moment ago; a fault is logged, and what was read before goes on.

        waiting: for what another thread is asking just now; else this one goes on with what is known.
        """
        if not self._reading.acquire(blocking=waiting):
            return
        try:
            if monotonic() - self._tried_at >= (RETRY_SECONDS if self._keys else FIRST_RETRY_SECONDS):
                self._refresh()
        except (OSError, ValueError, HTTPException) as fault:
            self._is_away = True
            logger.warning("The token issuer's keys cannot be read: %r", fault)
        finally:
            self._reading.release()

    def _refresh(self) -> None:
        try:
            text = _fetch(self._source) if self._is_url else Path(self._source).read_bytes()[:MAX_KEY_SET_BYTES]
            self._keys = _public_keys(text)
        finally:
            self._tried_at = monotonic()  # at its end: who waited for an attempt that failed does not begin another
        self._read_at, self._is_away = monotonic(), False


def _is_trustworthy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            return False
    except ValueError:  # half an IPv6 address, or no port
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))


class TokenVerifier:
    """Tells callers by their tokens. May be used by several threads. Raises SettingsError for a key set that cannot be had."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._keys = KeySet(issuer.key_set)
        self._good: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._changing = threading.Lock()

    def needs_look_up(self, token: str) -> bool:
        """Whether `verify` might ask the issuer, and so block."""
        return self._cached(_digest(token)) is None

    def verify(self, token: str) -> Caller:
        """The caller whose token it is.

        Raises NotAuthenticated, AccessDenied if it names none of our roles, or IssuerUnavailable.
        """
        digest = _digest(token)
        cached = self._cached(digest)
        if cached is not None:
            return cached
        key_id = _key_id(token)
        candidates = self._keys.candidates(key_id)
        claims = self._claims(token, candidates)
        if claims is None:
            claims = self._claims(token, self._keys.newer_candidates(key_id, candidates))
        if claims is None:
            raise NotAuthenticated("The token is not signed with a key that its issuer publishes; get a new token.")
        caller = self._caller_of(claims)
        with self._changing:
            self._good[digest] = min(int(claims["exp"]), time() + _CACHE_SECONDS), caller
            while len(self._good) > _CACHED_TOKENS:
                self._good.popitem(last=False)
        return caller

    def _claims(self, token: str, candidates: tuple[jwt.PyJWK, ...]) -> dict[str, Any] | None:
        """What the token says, if one of the keys signed it. Raises NotAuthenticated if that is not enough to come in."""
        for key in candidates:
            try:
                return jwt.decode(
                    token,
                    key,
                    # A key set's key is for one algorithm; what the token's own header says is not asked.
                    algorithms=[key.algorithm_name],
                    issuer=self._issuer.name,
                    audience=self._issuer.audience,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "iss", "aud", "sub"]},
                )
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
                continue
            except jwt.PyJWTError as fault:
                words = next((words for kind, words in _FAULTS if isinstance(fault, kind)), "The token cannot be read")
                raise NotAuthenticated(f"{words}; get a new one.") from fault
        return None

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
    value = _claim(claims, path)
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()


def _claim(claims: Any, path: str) -> Any:
    """The claim of that name as it stands, else by descending at one of its dots; None if there is none.

    A claim's name may itself hold dots: `https://hospital.example/roles` is one name, `realm_access.roles` is two.
    """
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    dots = [index for index, character in enumerate(path) if character == "."]
    found = (_claim(claims.get(path[:dot]), path[dot + 1 :]) for dot in reversed(dots))
    return next((value for value in found if value is not None), None)


def _public_keys(text: bytes) -> tuple[jwt.PyJWK, ...]:
    """Those of a key set that may sign a token. Raises ValueError if there are none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ValueError("it is not JSON") from fault
    entries = document.get("keys") if isinstance(document, dict) else None
    read = (_public_key(entry) for entry in (entries if isinstance(entries, list) else ()))
    keys = tuple(key for key in read if key is not None)
    if not keys:
        raise ValueError("it holds no public key for signatures")
    return keys


def _public_key(entry: Any) -> jwt.PyJWK | None:
    """None if it is not one that we read; there may be others beside it that we do."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str | None):
        return None
    try:
        key = jwt.PyJWK(entry)
    except Exception:  # a set is others' data, and the library raises whatever its parts do
        return None
    return key if key.algorithm_name in ALGORITHMS else None


def _why_unreadable(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return f"which cannot be read: {fault.strerror}"
    return f"which is not a JSON Web Key Set: {fault}"


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
