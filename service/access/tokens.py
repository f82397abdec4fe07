"""OAuth 2.0 bearer tokens: JSON Web Tokens (RFC 7519) of one issuer, verified with its key set."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from time import time
from typing import Any

import jwt

from service.access.caller import Caller
from service.access.key_set import KeySet
from service.access.roles import Role
from service.errors import AccessDenied, NotAuthenticated

# Tolerance for clocks that differ.
LEEWAY_SECONDS = 30

# Verifying a signature takes a tenth of a millisecond, so the callers of valid tokens are cached.
_CACHE_SECONDS = 60.0
_CACHED_TOKENS = 4096

# Faults of a token with a valid signature, as PyJWT reports them; the first match counts.
_FAULTS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired"),
    (jwt.ImmatureSignatureError, "The token is not valid yet"),
    (jwt.InvalidIssuedAtError, "The token is not valid yet"),
    (jwt.InvalidAudienceError, "The token is meant for another service"),
    (jwt.InvalidIssuerError, "The token comes from another issuer"),
    (jwt.MissingRequiredClaimError, "The token lacks one of the claims exp, iss, aud and sub"),
)

_STRONGEST_FIRST = (Role.ADMIN, Role.CLINICIAN, Role.AUDIT)


class TokenVerifier:
    """Identifies callers by their tokens. Thread-safe. Raises SettingsError if the key set is not usable.

    key_set: file or URL of the issuer's JSON Web Key Set.
    issuer, audience: required values of the claims `iss` and `aud`.
    roles_claim: the claim that holds the roles, see `_claim`.
    """

    def __init__(self, key_set: str, issuer: str, audience: str, roles_claim: str) -> None:
        self._keys = KeySet(key_set)
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim
        # Digest of a valid token -> time.time() until which the entry holds, and the caller.
        self._cache: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._changing = threading.Lock()

    def needs_look_up(self, token: str) -> bool:
        """Whether `verify` might query the issuer, and block."""
        return self._cached(_digest(token)) is None

    def verify(self, token: str) -> Caller:
        """The caller whose token it is.

        Raises NotAuthenticated, AccessDenied if the token names none of our roles, or IssuerUnavailable.
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
            raise NotAuthenticated("The token is not signed with a key that its issuer publishes; get a new one.")
        caller = self._caller_of(claims)
        with self._changing:
            self._cache[digest] = min(int(claims["exp"]), time() + _CACHE_SECONDS), caller
            while len(self._cache) > _CACHED_TOKENS:
                self._cache.popitem(last=False)
        return caller

    def _claims(self, token: str, candidates: tuple[jwt.PyJWK, ...]) -> dict[str, Any] | None:
        """The claims if one of the keys signed the token, else None. Raises NotAuthenticated if they are not valid."""
        for key in candidates:
            try:
                return jwt.decode(
                    token,
                    key,
                    # The key determines the algorithm; the token's own header is not trusted.
                    algorithms=[key.algorithm_name],
                    issuer=self._issuer,
                    audience=self._audience,
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
        until, caller = self._cache.get(digest, (0.0, None))
        return caller if until > time() else None

    def _caller_of(self, claims: Mapping[str, Any]) -> Caller:
        subject = str(claims["sub"])
        if not 1 <= len(subject) <= 256 or not subject.isprintable():
            raise NotAuthenticated("The token's subject is not a plain name of up to 256 characters.")
        named = _named_roles(claims, self._roles_claim)
        role = next((role for role in _STRONGEST_FIRST if role in named), None)
        if role is None:
            raise AccessDenied(
                f"The token names none of the roles {', '.join(Role)} in its claim {self._roles_claim!r}; "
                "ask your administrator for one."
            )
        return Caller(subject, role, f"token:{subject}")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _key_id(token: str) -> str | None:
    """The key identifier in the header, which is not verified yet. Raises NotAuthenticated if the token has no header."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as fault:
        raise NotAuthenticated("The bearer token is not a JSON Web Token; check that it was copied completely.") from fault
    key_id: str | None = header.get("kid")
    return key_id


def _named_roles(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    value = _claim(claims, path)
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()


def _claim(claims: Any, path: str) -> Any:
    """The claim of this name, else the member of nested objects that the dotted path leads to; None if there is none.

    Names may contain dots themselves: `https://hospital.example/roles` is one name, `realm_access.roles` is two.
    """
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    dots = [index for index, character in enumerate(path) if character == "."]
    found = (_claim(claims.get(path[:dot]), path[dot + 1 :]) for dot in reversed(dots))
    return next((value for value in found if value is not None), None)
