"""What an operator may set, from environment variables with the prefix CXR_.

Checked before `bentoml serve` starts a worker, and read by the worker when the service is built.
"""

import os
from collections.abc import Mapping

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.contract.errors import ConfigError
from service.contract.radiograph import DecodeLimits

PREFIX = "CXR_"
# What the tests are told through the environment is no setting: a shell that runs them can start the service as well.
TEST_PREFIX = "CXR_TEST_"

# BentoML ends a request after this long by itself, with an answer that is not ours; our own limit must come first.
BENTOML_TIMEOUT_SECONDS = 120.0

_MEBIBYTE = 1024 * 1024


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Settings of one serving process.

    bundle: path of a bundle folder, or a tag of BentoML's model store (chest-xray:1.0.0); by default the newest release in the
        models/ folder beside the service package.
    threads: films worked on at once. ort_threads_per_session: threads within one model run; 1 suits a server, because
        concurrent films then take one core each.
    queue_limit: films that may wait beyond those worked on; the next is refused with 503. A whole batch must fit.
    timeout_seconds: from the first byte of the body to the answer; then 504. The first explanation waits for PyTorch.
    max_upload_bytes, max_batch_bytes: largest body of a single-film and of a batch request; then 413.
    max_pixels: largest film, checked before it is decoded; then 413.
    explain_preload: load PyTorch at start, beside serving, instead of at the first explanation.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bundle: str | None = None
    threads: int = Field(default_factory=_usable_cpus, ge=1, le=256)
    ort_threads_per_session: int = Field(default=1, ge=1, le=256)
    queue_limit: int = Field(default=64, ge=10)
    timeout_seconds: float = Field(default=60.0, gt=0, lt=BENTOML_TIMEOUT_SECONDS)
    max_upload_bytes: int = Field(default=40 * _MEBIBYTE, ge=1)
    max_batch_bytes: int = Field(default=100 * _MEBIBYTE, ge=1)
    max_pixels: int = Field(default=DecodeLimits().max_pixels, ge=1)
    explain_preload: bool = False


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment of this process. Raises ConfigError for an unknown CXR_ variable or a bad value.

    environment: the names to check for unknown ones, os.environ outside tests.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for name in environment if name.upper().startswith(PREFIX) and not name.upper().startswith(TEST_PREFIX)}
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise ConfigError(f"Unknown setting {', '.join(unknown)}; the settings are {', '.join(sorted(known))}.")
    try:
        return Settings()
    except ValidationError as fault:
        faults = (f"{PREFIX}{str(error['loc'][0]).upper()} is {error['input']!r}: {error['msg']}" for error in fault.errors())
        raise ConfigError(f"A setting is out of range. {'; '.join(faults)}.") from fault
