"""Decides whether a request is admitted: address, credentials, role, rate."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from service.access.addresses import Address, anonymised, client_address, is_in, neighbourhood
from service.access.caller import Caller
from service.access.rate_limit import RateLimiter
from service.access.roles import PROBES, endpoint_of, required_roles
from service.errors import AccessDenied, NotAuthenticated
from service.film.errors import ChestXrayError
from service.settings import Settings

if TYPE_CHECKING:
    from service.records.database import Database

# A look-up takes a millisecond, and its result is cached.
_LOOK_UP_THREADS = 4


@dataclass(frozen=True)
class Admission:
    """The decision on a request."""

    caller: Caller | None = None  # None without access control, for public paths, and if unknown
    address: str | None = None  # of the client, anonymised
    refusal: ChestXrayError | None = None  # why the request is refused; None if it is admitted
    # Whether it gets an audit row. Unknown callers beyond the rate limit get none: their rows could fill the disk.
    is_recorded: bool = True


class Verifier(Protocol):
    """Identifies callers by one kind of credential."""

    def needs_look_up(self, credential: str) -> bool:
        """Whether `verify` might block."""

    def verify(self, credential: str) -> Caller:
        """Raises NotAuthenticated, AccessDenied, or a ServiceError if the credential cannot be checked now."""


class AccessPolicy:
    """Admits or refuses requests. Raises SettingsError.

    database: holds the API keys.
    """

    def __init__(self, settings: Settings, database: "Database") -> None:
        self._settings = settings
        self._limiter = RateLimiter(settings.rate_limit, settings.rate_limit_storage)
        # Imported only where needed: these modules take memory, also in BentoML's supervisor.
        self._keys: Verifier | None = None
        self._tokens: Verifier | None = None
        if settings.accepts_tokens:
            from service.access.tokens import TokenVerifier

            # Settings makes sure that all three are set.
            key_set, issuer, audience = settings.jwks or "", settings.token_issuer or "", settings.token_audience or ""
            self._tokens = TokenVerifier(key_set, issuer, audience, settings.token_roles_claim)
        if settings.accepts_keys:
            from service.access.keys import KeyStore, KeyVerifier

            self._keys = KeyVerifier(KeyStore(database))
        # Threads for each kind: an issuer that hangs holds up tokens, but neither API keys nor the rest of the service.
        verifiers: tuple[Verifier | None, ...] = (self._keys, self._tokens)
        self._threads = {verifier: ThreadPoolExecutor(_LOOK_UP_THREADS) for verifier in verifiers if verifier}

    @property
    def is_open(self) -> bool:
        """Whether there is no access control."""
        return self._keys is None and self._tokens is None

    async def admit(
        self, path: str, headers: Mapping[str, str], peer: str | None, forwarded_for: str | None = None
    ) -> Admission:
        """Decide on a request by its head.

        path: decoded.
        headers: x-api-key and authorization, by these names.
        peer: the address that connected.
        forwarded_for: all lines of X-Forwarded-For, joined by commas; a proxy may have added a line of its own.
        """
        address = client_address(peer, forwarded_for, self._settings.trusted_proxies)
        shown = anonymised(address)
        allowed = self._settings.allowed_networks
        if allowed and endpoint_of(path) not in PROBES and (address is None or not is_in(address, allowed)):
            return await self._refused(address, AccessDenied("This address is not in a network that may call."))
        roles = required_roles(path)
        if roles is None or self.is_open:
            return Admission(address=shown)
        try:
            caller = await self._identify(headers)
        except ChestXrayError as refusal:
            return await self._refused(address, refusal)
        limited = await self._limiter.hit(caller.credential)
        if limited is None and caller.role not in roles:
            needed = " or ".join(sorted(roles))
            denied = AccessDenied(f"The role {caller.role} may not call {endpoint_of(path)}; this needs the role {needed}.")
            return Admission(caller, shown, denied)
        return Admission(caller, shown, limited)

    async def _refused(self, address: Address | None, refusal: ChestXrayError) -> Admission:
        """Refuse an unknown caller. Refusals are counted by address."""
        limited = await self._limiter.hit(f"address:{neighbourhood(address)}")
        return Admission(None, anonymised(address), limited or refusal, is_recorded=limited is None)

    async def _identify(self, headers: Mapping[str, str]) -> Caller:
        verifier, credential = self._presented(headers)
        if verifier.needs_look_up(credential):
            return await asyncio.get_running_loop().run_in_executor(self._threads[verifier], verifier.verify, credential)
        return verifier.verify(credential)

    def _presented(self, headers: Mapping[str, str]) -> tuple[Verifier, str]:
        # Whitespace around a field's value is not part of it (RFC 9110, 5.5); the server removes only what precedes it.
        key = headers.get("x-api-key", "").strip()
        scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        if key and bearer:
            raise NotAuthenticated("The request has both an API key and a bearer token; send one of them.")
        credential = key or bearer
        if not credential:
            raise NotAuthenticated(f"{'API key' if self._keys else 'Access token'} missing: {self._remedy()}.")
        verifier = self._keys if key or bearer.startswith("cxr_") else self._tokens
        if verifier is None:
            raise NotAuthenticated(f"{'API keys' if key else 'Access tokens'} are not accepted here: {self._remedy()}.")
        return verifier, credential

    def _remedy(self) -> str:
        """How to authenticate: for users of the web page, and for authors of programs."""
        remedies = (
            self._keys and "send an API key in the X-API-Key header, or enter it on the web page",
            self._tokens and "send a token in the Authorization header, as Bearer <token>",
        )
        return ", or ".join(remedy for remedy in remedies if remedy)
