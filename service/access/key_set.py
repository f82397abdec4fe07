"""The token issuer's public keys: a JSON Web Key Set (RFC 7517), read from a file or over https and kept up to date."""

import json
import logging
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import jwt

from service.errors import IssuerUnavailable, SettingsError

logger = logging.getLogger(__name__)

# Asymmetric signatures only: with HMAC among them, a public key would be accepted as the shared secret (RFC 8725, 3.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

MAX_KEY_SET_BYTES = 1024 * 1024

# The key set is read again after this time, or when a token names an unknown key.
REFRESH_SECONDS = 3600.0
# Shortest time between two attempts.
RETRY_SECONDS = 10.0
# While the issuer cannot be reached, the known keys stay valid for this long.
USABLE_SECONDS = 24 * 3600.0
_FETCH_SECONDS = 5.0

_ISSUER_AWAY = "The keys of the token issuer cannot be read now, so new tokens cannot be verified; try again."


class KeySet:
    """The issuer's public keys, read when they are needed. Thread-safe. Methods block while they query the issuer.

    source: a file, which is read at once, or an https URL (http on the loopback interface).

    Raises SettingsError if it is neither, or the file holds no key.
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
                why = fault.strerror if isinstance(fault, OSError) else fault
                raise SettingsError(
                    f"CXR_JWKS is {source}, which is not a JSON Web Key Set, or cannot be read: {why}."
                ) from fault

    def candidates(self, key_id: str | None) -> tuple[jwt.PyJWK, ...]:
        """The keys that may have signed a token with this key identifier.

        Raises IssuerUnavailable if no key set was read within USABLE_SECONDS.
        """
        if monotonic() - self._read_at >= REFRESH_SECONDS:
            self._refresh_if_due(waiting=not self._is_usable())
        if not self._is_usable():
            raise IssuerUnavailable(_ISSUER_AWAY)
        # Identifiers are optional in tokens and keys (RFC 7515, 4.1.4; RFC 7517, 4.5), and need not be unique.
        return tuple(key for key in self._keys if key.key_id == key_id or None in (key.key_id, key_id))

    def newer_candidates(self, key_id: str | None, tried: tuple[jwt.PyJWK, ...]) -> tuple[jwt.PyJWK, ...]:
        """The candidates after the key set was read again; none if they are the same as those tried.

        Raises IssuerUnavailable if no key with this identifier is known and the issuer cannot be reached.
        """
        self._refresh_if_due(waiting=True)
        if self._is_away and not any(key.key_id == key_id for key in tried):
            raise IssuerUnavailable(_ISSUER_AWAY)
        found = self.candidates(key_id)
        return () if found == tried else found

    def _is_usable(self) -> bool:
        return monotonic() - self._read_at <= USABLE_SECONDS

    def _refresh_if_due(self, waiting: bool) -> None:
        """Read the key set, unless that was tried a moment ago. After a fault, which is logged, the known keys stay.

        waiting: whether to wait for another thread that is reading it.
        """
        if not self._reading.acquire(blocking=waiting):
            return
        try:
            if monotonic() - self._tried_at >= RETRY_SECONDS:
                self._refresh()
        except (OSError, ValueError, HTTPException) as fault:
            self._is_away = True
            logger.warning("The keys of the token issuer cannot be read: %r", fault)
        finally:
            self._reading.release()

    def _refresh(self) -> None:
        try:
            text = _fetch(self._source) if self._is_url else Path(self._source).read_bytes()
            self._keys = _public_keys(text)
        finally:
            self._tried_at = monotonic()  # after the attempt, so that threads that waited for a failed one do not start another
        self._read_at, self._is_away = monotonic(), False


def _is_trustworthy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            return False
    except ValueError:  # an unclosed bracket, or a port that is no number
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))


def _public_keys(text: bytes) -> tuple[jwt.PyJWK, ...]:
    """The usable keys of a key set. Raises ValueError if there are none."""
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
    """One key of a key set; None if it is of a kind that is not supported."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str | None):
        return None
    try:
        key = jwt.PyJWK(entry)
    except Exception:  # foreign data, for which the library raises errors of many kinds
        return None
    return key if key.algorithm_name in ALGORITHMS else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys must come from the address that the operator set."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _fetch(url: str) -> bytes:
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(url, timeout=_FETCH_SECONDS) as answer:
        content: bytes = answer.read(MAX_KEY_SET_BYTES + 1)
    if len(content) > MAX_KEY_SET_BYTES:
        raise ValueError("it is too long")
    return content
