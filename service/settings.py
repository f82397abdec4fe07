"""Settings of the service: environment variables with the prefix CXR_.

Checked before `bentoml serve` starts a worker, and read again by the worker when the service is built.
"""

import ipaddress
from collections.abc import Mapping
from difflib import get_close_matches
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
# Variables of the test suite. They are not settings, so that a shell that runs the tests can also start the service.
TEST_PREFIX = "CXR_TEST_"

# After this long BentoML ends a request itself, with an error body of its own; our limit must come first.
BENTOML_TIMEOUT_SECONDS = 120.0

_MEBIBYTE = 1024 * 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# As browsers send it (RFC 6454, section 6.2): in lower case, without a path or a trailing slash.
_ORIGIN = r"^(\*|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+)$"
_WORDS_OF = {_ORIGIN: "must be an origin such as https://viewer.example, in lower case and without a slash at its end"}

# Beside the package `service`, whichever folder the server is started in.
DEFAULT_DATABASE = Path(__file__).resolve().parent.parent / "records" / "chest-xray.db"

# May hold passwords, so error messages do not repeat their values.
_SECRET = ("audit_secret", "database_url", "rate_limit_storage")


class Settings(BaseSettings):
    """Settings of one serving process. `make docs` writes the fields' descriptions into docs/operations.md."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bundle: str | None = Field(
        default=None,
        description="Model to serve: a bundle folder, or a tag of BentoML's model store such as `chest-xray:2.1.0`. "
        "By default the release that `cxr registry promote` chose, else the highest version in `models/`.",
    )
    site: str | None = Field(
        default=None,
        description="Site profile to apply, a folder such as `sites/mercy-1`, made by commissioning the bundle that is served. "
        "One that cannot be read, that belongs to another bundle, or whose golden answers differ ends the start. "
        "`none` applies none. By default the one that `cxr registry promote` chose, unless `CXR_BUNDLE` is set.",
    )
    threads: int = Field(
        default_factory=usable_cpus,
        ge=1,
        le=256,
        description="Films judged at once. Default: the usable CPUs, within a container's quota.",
    )
    ort_threads_per_session: int = Field(
        default=1, ge=1, le=256, description="Threads within one model run. With 1, films judged at once take one core each."
    )
    queue_limit: int = Field(
        default=64, ge=10, description="Films that may wait; the next is refused with 503. At least 10, a whole batch."
    )
    timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        lt=BENTOML_TIMEOUT_SECONDS,
        description="Seconds from the first byte of a request's body to the answer; a later answer is replaced by a 504. "
        "Leave room for the first explanation, which loads PyTorch.",
    )
    keep_alive_seconds: int = Field(
        default=120,
        ge=1,
        description="Seconds that a connection may be idle between requests. Must exceed the idle timeout of any proxy in "
        "front (nginx and Amazon's balancers 60, Traefik and Go's proxies 90, Google's balancers 600): a proxy would otherwise "
        "send requests into connections that are just being closed.",
    )
    head_timeout_seconds: int = Field(
        default=30, ge=1, description="Seconds within which a request's head must arrive; then the connection is closed."
    )
    max_upload_bytes: int = Field(
        default=40 * _MEBIBYTE, ge=1, description="Largest body with one film, in bytes; a larger one is refused with 413."
    )
    max_batch_bytes: int = Field(
        default=100 * _MEBIBYTE, ge=1, description="Largest body with a batch, in bytes; a larger one is refused with 413."
    )
    max_pixels: int = Field(
        default=DecodeLimits().max_pixels,
        ge=1,
        description="Largest film, in pixels; a larger one is refused with 413, before it is decoded.",
    )
    max_held_bytes: int = Field(
        default=400 * _MEBIBYTE,
        ge=1,
        description="Sum of all bodies that are being received or worked on, in bytes; a request that would exceed it is "
        "refused with 503. At least `CXR_MAX_UPLOAD_BYTES` and `CXR_MAX_BATCH_BYTES`. Default: 400 MiB.",
    )
    explain_preload: bool = Field(
        default=False, description="Whether to load PyTorch at start. By default the first explanation loads it, some seconds."
    )
    environment: Literal["development", "production"] = Field(
        default="development", description="`production` refuses to start without access control."
    )
    auth: Literal["none", "keys", "tokens", "keys_and_tokens"] = Field(
        default="none",
        description="What callers must send: `keys` (API keys), `tokens` (OAuth 2.0 bearer tokens), either of them "
        "(`keys_and_tokens`), or nothing (`none`).",
    )
    jwks: str | None = Field(
        default=None, description="File or https URL of the token issuer's JSON Web Key Set. Required for tokens."
    )
    token_issuer: str | None = Field(
        default=None, description="Issuer that a token must name in its claim `iss`. Required for tokens."
    )
    token_audience: str | None = Field(
        default=None, description="Audience that a token must name in its claim `aud`. Required for tokens."
    )
    token_roles_claim: str = Field(
        default="roles",
        description="Claim that holds a token's roles: a name (`https://hospital.example/roles`), or a path with dots "
        "(`realm_access.roles`).",
    )
    rate_limit: str = Field(
        default="100/minute",
        description="Requests that one caller may make, such as `100/minute` or `10/second`; more are refused with 429. "
        "Not applied without access control.",
    )
    rate_limit_storage: str = Field(
        default="memory://",
        description="Where requests are counted: `memory://`, or a Redis server that several processes share "
        "(`redis://host:6379/0`).",
    )
    allowed_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="Networks that may call, as CIDR blocks separated by commas. Default: all. Probes are always answered.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="Networks of proxies whose `X-Forwarded-For` header is believed, as CIDR blocks separated by commas. "
        "Default: none.",
    )
    cors_origins: Annotated[tuple[Annotated[str, Field(pattern=_ORIGIN)], ...], NoDecode] = Field(
        default=(),
        description="Origins whose web pages may call, such as `https://viewer.example`, separated by commas; `*` allows all. "
        "Default: none.",
    )
    database_url: str = Field(
        default=f"sqlite:///{DEFAULT_DATABASE}",
        description="Database of predictions, audit log and API keys, as a URL of SQLAlchemy "
        "(`postgresql://user:password@host/database`). By default an SQLite file in `records/`.",
    )
    database_upgrade: bool = Field(
        default=True,
        description="Whether to bring the database's tables up to date at start. Set it to false where the service's user may "
        "not change tables, and run `cxr records upgrade` instead.",
    )
    audit_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Secret of at least 16 characters that makes the audit log's hashes HMACs, so that write access to the "
        "database is not enough to forge them. By default plain SHA-256.",
    )

    @field_validator("site")
    @classmethod
    def _site_is_named(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("must be a folder; set none to apply no profile, or remove it to apply the chosen one")
        return value

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
        for name, limit in (("CXR_MAX_BATCH_BYTES", self.max_batch_bytes), ("CXR_MAX_UPLOAD_BYTES", self.max_upload_bytes)):
            if self.max_held_bytes < limit:
                raise ValueError(
                    f"CXR_MAX_HELD_BYTES is {self.max_held_bytes}, below {name}, which is {limit}: "
                    "a body of that size could never be received; raise the first or lower the second"
                )
        return self

    @property
    def accepts_keys(self) -> bool:
        """Whether API keys are accepted."""
        return self.auth in ("keys", "keys_and_tokens")

    @property
    def accepts_tokens(self) -> bool:
        """Whether bearer tokens are accepted."""
        return self.auth in ("tokens", "keys_and_tokens")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from the environment of this process. Raises SettingsError for an unknown CXR_ variable or a bad value.

    environment: os.environ outside tests, checked for unknown names. Values are read from os.environ in any case.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for name in environment if name.upper().startswith(PREFIX) and not name.upper().startswith(TEST_PREFIX)}
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        # The cutoff is high, because all names have the prefix in common.
        nearest = [near for name in unknown for near in get_close_matches(name.upper(), known, n=1, cutoff=0.8)]
        hint = f"did you mean {' and '.join(nearest)}?" if nearest else f"the settings are {', '.join(sorted(known))}."
        raise SettingsError(f"Unknown setting {', '.join(unknown)}; {hint}")
    try:
        return Settings()
    except ValidationError as fault:
        # Each text once: a malformed network fails both as IPv4 and as IPv6.
        faults = dict.fromkeys(map(_fault_text, fault.errors()))
        raise SettingsError(f"Wrong setting: {'; '.join(faults)}.") from fault


def _fault_text(error: ErrorDetails) -> str:
    if not error["loc"]:  # of a validator over several settings: its input is all of them, passwords included
        return error["msg"].removeprefix("Value error, ")
    name = str(error["loc"][0])
    given = "set" if name in _SECRET else repr(error["input"])
    return f"{PREFIX}{name.upper()} is {given}, but {wanted(error, _WORDS_OF)}"
