"""What an operator may set, from environment variables with the prefix CXR_.

Checked before `bentoml serve` starts a worker, and read by the worker when the service is built.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import SettingsError
from service.film.limits import DecodeLimits
from service.process.cpus import usable_cpus
from service.validation_messages import wanted

PREFIX = "CXR_"
# What the tests are told through the environment is no setting: a shell that runs them can start the service as well.
TEST_PREFIX = "CXR_TEST_"

# BentoML ends a request after this long by itself, with an answer that is not ours; our own limit must come first.
BENTOML_TIMEOUT_SECONDS = 120.0

_MEBIBYTE = 1024 * 1024


Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# As browsers send it, and so compare it (RFC 6454, 6.2): in lower case, without a path or a slash at its end.
_ORIGIN = r"^(\*|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+)$"
_WORDS_OF = {_ORIGIN: "must be an origin such as https://viewer.example, in lower case and without a slash at its end"}

# Beside the service package, whatever folder the server is started in.
DEFAULT_DATABASE = Path(__file__).resolve().parent.parent / "records" / "chest-xray.db"


# May hold passwords, which no message repeats.
_SECRET = ("audit_secret", "database_url", "rate_limit_storage")


class Settings(BaseSettings):
    """Settings of one serving process.

    bundle: path of a bundle folder, or a tag of BentoML's model store (chest-xray:1.0.0); by default the newest release in the
        models/ folder beside the service package.
    threads: films worked on at once, by default as many as there are CPUs to use. ort_threads_per_session: threads within one
        model run; 1 suits a server, because concurrent films then take one core each.
    queue_limit: films that may wait beyond those worked on; the next is refused with 503. A whole batch must fit.
    timeout_seconds: from the first byte of the body to the answer; then 504. The first explanation waits for PyTorch.
    keep_alive_seconds: how long a connection may idle between requests; longer than any proxy in front keeps it, which
        would else send a film into one that is just being closed. head_timeout_seconds: for a request's head to come whole.
    max_upload_bytes, max_batch_bytes: largest body of a single-film and of a batch request; then 413.
    max_pixels: largest film, checked before it is decoded; then 413.
    max_held_bytes: sum of the bodies that are being sent or worked on; a film beyond it is refused with 503. At least as much
        as the largest body.
    explain_preload: load PyTorch at start, beside serving, instead of at the first explanation.
    environment: "production" refuses to start without access control.
    auth: who may call: "keys" (API keys), "tokens" (OAuth 2.0 bearer tokens), "keys_and_tokens", or "none" (everybody).
    jwks: file or https URL of the token issuer's JSON Web Key Set. token_issuer, token_audience: what a token must name.
        token_roles_claim: where its roles are, dots descend (realm_access.roles).
    rate_limit: requests of one caller, as the limits library writes it; not applied without access control.
    rate_limit_storage: "memory://", or a Redis URL that several processes share.
    allowed_networks: CIDR blocks that may call; empty allows all. trusted_proxies: CIDR blocks whose X-Forwarded-For is
        believed. cors_origins: origins whose pages may call. Lists are separated by commas.
    database_url: SQLAlchemy URL of predictions and audit rows. database_upgrade: bring its tables up to date at start.
    audit_secret: makes the audit log's hashes unforgeable for who can write the database but does not know it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bundle: str | None = None
    threads: int = Field(default_factory=usable_cpus, ge=1, le=256)
    ort_threads_per_session: int = Field(default=1, ge=1, le=256)
    queue_limit: int = Field(default=64, ge=10)
    timeout_seconds: float = Field(default=60.0, gt=0, lt=BENTOML_TIMEOUT_SECONDS)
    # Traefik and Go's proxies keep theirs for 90 s, nginx and Amazon's balancers for 60.
    keep_alive_seconds: int = Field(default=120, ge=1)
    head_timeout_seconds: int = Field(default=30, ge=1)
    max_upload_bytes: int = Field(default=40 * _MEBIBYTE, ge=1)
    max_batch_bytes: int = Field(default=100 * _MEBIBYTE, ge=1)
    max_pixels: int = Field(default=DecodeLimits().max_pixels, ge=1)
    max_held_bytes: int = Field(default=400 * _MEBIBYTE, ge=1)
    explain_preload: bool = False
    environment: Literal["development", "production"] = "development"
    auth: Literal["none", "keys", "tokens", "keys_and_tokens"] = "none"
    jwks: str | None = None
    token_issuer: str | None = None
    token_audience: str | None = None
    token_roles_claim: str = "roles"  # noqa: S105 (a name, not a secret)
    rate_limit: str = "100/minute"
    rate_limit_storage: str = "memory://"
    allowed_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[Annotated[str, Field(pattern=_ORIGIN)], ...], NoDecode] = ()
    database_url: str = f"sqlite:///{DEFAULT_DATABASE}"
    database_upgrade: bool = True
    audit_secret: SecretStr | None = Field(default=None, min_length=16)

    @field_validator("allowed_networks", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _access_is_complete(self) -> Self:
        if self.environment == "production" and self.auth == "none":
            raise ValueError("CXR_ENVIRONMENT=production needs CXR_AUTH=keys, tokens or keys_and_tokens")
        missing = [name for name in ("jwks", "token_issuer", "token_audience") if not getattr(self, name)]
        if self.accepts_tokens and missing:
            raise ValueError(f"CXR_AUTH={self.auth} also needs {', '.join(PREFIX + name.upper() for name in missing)}")
        return self

    @model_validator(mode="after")
    def _largest_body_can_be_held(self) -> Self:
        limits = {name: getattr(self, name) for name in ("max_upload_bytes", "max_batch_bytes")}
        largest = max(limits, key=limits.__getitem__)
        if self.max_held_bytes < limits[largest]:
            raise ValueError(
                f"CXR_MAX_HELD_BYTES is {self.max_held_bytes}, below {PREFIX}{largest.upper()}, which is {limits[largest]}: "
                "bodies up to that could never be taken; raise the one or lower the other"
            )
        return self

    @property
    def accepts_keys(self) -> bool:
        """Whether API keys open the door."""
        return self.auth in ("keys", "keys_and_tokens")

    @property
    def accepts_tokens(self) -> bool:
        """Whether bearer tokens do."""
        return self.auth in ("tokens", "keys_and_tokens")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment of this process. Raises SettingsError for an unknown CXR_ variable or a bad value.

    environment: the names to check for unknown ones, os.environ outside tests.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for name in environment if name.upper().startswith(PREFIX) and not name.upper().startswith(TEST_PREFIX)}
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise SettingsError(f"Unknown setting {', '.join(unknown)}; the settings are {', '.join(sorted(known))}.")
    try:
        return Settings()
    except ValidationError as fault:
        # Once: a network that is none of IPv4 is none of IPv6 either.
        faults = dict.fromkeys(map(_fault_text, fault.errors()))
        raise SettingsError(f"A setting is out of range. {'; '.join(faults)}.") from fault


def _fault_text(error: ErrorDetails) -> str:
    if not error["loc"]:  # of several settings together, and not to be repeated: one of them may be a password
        return error["msg"].removeprefix("Value error, ")
    name = str(error["loc"][0])
    given = "set" if name in _SECRET else repr(error["input"])
    return f"{PREFIX}{name.upper()} is {given}: {wanted(error, _WORDS_OF)}"
