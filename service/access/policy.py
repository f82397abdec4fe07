"""The one place where it is decided whether a request comes in."""

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

# A look-up takes a millisecond, and what it finds is kept for a while.
_LOOK_UP_THREADS = 4


@dataclass(frozen=True)
class Admission:
    """caller: None where nobody has to say who they are. address: anonymised. refusal: why the request does not come in.

    is_recorded: whether the audit log is to know. Of strangers who were refused too often it learns no more: else they could
    fill the disk, and a service that cannot put answers on record gives none.
    """

    caller: Caller | None = None
    address: str | None = None
    refusal: ChestXrayError | None = None
    is_recorded: bool = True


class Verifier(Protocol):
    """Tells callers by one kind of credential."""

    def needs_look_up(self, credential: str) -> bool:
        """Whether `verify` might block."""

    def verify(self, credential: str) -> Caller:
        """Raises NotAuthenticated, AccessDenied, or a ServiceError if that cannot be told at this moment."""


class AccessPolicy:
    """keys, tokens: the credentials that open the door; without any of them it stands open for every allowed address."""

    def __init__(self, settings: Settings, keys: Verifier | None, tokens: Verifier | None, limiter: RateLimiter) -> None:
        self._settings = settings
        self._keys = keys
        self._tokens = tokens
        self._limiter = limiter
        # Threads of its own for each: an issuer that hangs holds up tokens, and neither keys nor the rest of the service.
        self._threads = {verifier: ThreadPoolExecutor(_LOOK_UP_THREADS) for verifier in (keys, tokens) if verifier}

    @classmethod
    def from_settings(cls, settings: Settings, database: "Database") -> "AccessPolicy":
        """database: where the keys are. Raises SettingsError."""
        # Not at import: BentoML's supervisor imports the service too, and what is not used takes memory for nothing.
        keys: Verifier | None = None
        tokens: Verifier | None = None
        if settings.accepts_tokens:
            from service.access.tokens import Issuer, TokenVerifier

            # Settings says that all three are there.
            source, name, audience = settings.jwks or "", settings.token_issuer or "", settings.token_audience or ""
            tokens = TokenVerifier(Issuer(source, name, audience, settings.token_roles_claim))
        if settings.accepts_keys:
            from service.access.keys import KeyStore, KeyVerifier

            keys = KeyVerifier(KeyStore(database))
        return cls(settings, keys, tokens, RateLimiter(settings.rate_limit, settings.rate_limit_storage))

    @property
    def is_open(self) -> bool:
        """Whether nobody has to say who they are."""
        return self._keys is None and self._tokens is None

    async def admit(
        self, path: str, headers: Mapping[str, str], peer: str | None, forwarded_for: str | None = None
    ) -> Admission:
        """Judge a request by its head: address, credentials, role, rate, in this order.

        path: decoded. headers: X-API-Key and Authorization, with names in lower case. peer: the address that connected.
        forwarded_for: every line of X-Forwarded-For, joined by commas: a proxy may add one of its own below the client's.
        """
        address = client_address(peer, forwarded_for, self._settings.trusted_proxies)
        shown = anonymised(address)
        allowed = self._settings.allowed_networks
        if allowed and endpoint_of(path) not in PROBES and (address is None or not is_in(address, allowed)):
            return await self._refused(address, AccessDenied("Requests from this address are not answered."))
        roles = required_roles(path)
        if roles is None or self.is_open:
            return Admission(address=shown)
        try:
            caller = await self._identify(headers)
        except ChestXrayError as refusal:
            return await self._refused(address, refusal)
        if caller.role not in roles:
            takes = " or ".join(sorted(roles))
            denied = AccessDenied(f"The role {caller.role} does not include {endpoint_of(path)}; it takes {takes}.")
            return Admission(caller, shown, await self._limited(caller.credential) or denied)
        return Admission(caller, shown, await self._limited(caller.credential))

    async def _refused(self, address: Address | None, refusal: ChestXrayError) -> Admission:
        """The refusal of a stranger, counted by where it comes from."""
        limited = await self._limited(f"address:{neighbourhood(address)}")
        return Admission(None, anonymised(address), limited or refusal, is_recorded=limited is None)

    async def _identify(self, headers: Mapping[str, str]) -> Caller:
        verifier, credential = self._presented(headers)
        if verifier.needs_look_up(credential):
            return await asyncio.get_running_loop().run_in_executor(self._threads[verifier], verifier.verify, credential)
        return verifier.verify(credential)

    def _presented(self, headers: Mapping[str, str]) -> tuple[Verifier, str]:
        # Blanks around a field's value are no part of it (RFC 9110, 5.5); servers cut them off in front only.
        key = headers.get("x-api-key", "").strip()
        scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        if key and bearer:
            raise NotAuthenticated("Both an API key and a bearer token are given; send one of them.")
        credential = key or bearer
        if not credential:
            raise NotAuthenticated(f"{'API key' if self._keys else 'Access token'} missing: {self._ways()}.")
        verifier = self._keys if key or bearer.startswith("cxr_") else self._tokens
        if verifier is None:
            raise NotAuthenticated(f"{'API keys' if key else 'Access tokens'} are not accepted here: {self._ways()}.")
        return verifier, credential

    def _ways(self) -> str:
        """Of saying who calls: for the reader at the web page, who sends no headers, and for a program's author."""
        ways = (
            self._keys and "enter a key on the web page, or send it in the X-API-Key header",
            self._tokens and "send a token in the Authorization header, after the word Bearer",
        )
        return ", or ".join(way for way in ways if way)

    async def _limited(self, identity: str) -> ChestXrayError | None:
        try:
            await self._limiter.hit(identity)
        except ChestXrayError as refusal:
            return refusal
        return None
