"""So many requests of one caller in so long a time, counted in memory or, for several processes, in Redis."""

import asyncio
import logging
import math
from time import monotonic, time

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from service.errors import RateLimited, SettingsError

logger = logging.getLogger(__name__)

# A count in Redis takes less than a millisecond; one that takes longer is not worth a film's waiting.
_LIMIT_SECONDS = 0.25

# How long to count in memory after Redis failed, before it is asked again.
_OUTAGE_SECONDS = 10.0

_PREFIX = "cxr-rate"


class RateLimiter:
    """rate: "100/minute", as the limits library writes it. storage_url: memory://, or redis:// and its relatives.

    While Redis is away every process counts for itself: a limit that is a little too wide is better than no service.
    Raises SettingsError.
    """

    def __init__(self, rate: str, storage_url: str = "memory://") -> None:
        self._rate = _parsed(rate)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if storage_url == "memory://" else SlidingWindowCounterRateLimiter(_storage(storage_url))
        self._away_until = 0.0

    async def hit(self, identity: str) -> None:
        """Count a request. Raises RateLimited if it is one too many, and says when the next one will not be."""
        if self._shared is not None and monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(_LIMIT_SECONDS):
                    await self._hit(self._shared, identity)
            except RateLimited:
                raise
            except Exception as fault:  # of whatever client the storage uses
                logger.warning("Requests are counted by each process alone, since Redis is away: %s", type(fault).__name__)
                self._away_until = monotonic() + _OUTAGE_SECONDS
            else:
                return
        await self._hit(self._own, identity)

    async def _hit(self, limiter: SlidingWindowCounterRateLimiter, identity: str) -> None:
        if await limiter.hit(self._rate, _PREFIX, identity):
            return
        window = await limiter.get_window_stats(self._rate, _PREFIX, identity)
        wait_seconds = max(1, math.ceil(window.reset_time - time()))
        raise RateLimited(f"You have sent more than {_in_words(self._rate)}; {_when(wait_seconds)}", wait_seconds)


def _in_words(rate: RateLimitItem) -> str:
    """100 per 1 minute -> 100 requests in a minute."""
    unit = rate.GRANULARITY.name
    time_span = f"an {unit}" if unit == "hour" else f"a {unit}"
    if rate.multiples > 1:
        time_span = f"{rate.multiples} {unit}s"
    return f"{rate.amount} request{'s' if rate.amount > 1 else ''} in {time_span}"


def _when(wait_seconds: int) -> str:
    if wait_seconds < 120:
        return f"the next one is answered in {wait_seconds} second{'s' if wait_seconds > 1 else ''}."
    return f"the next one is answered in {math.ceil(wait_seconds / 60)} minutes."


def _parsed(rate: str) -> RateLimitItem:
    try:
        [single] = parse_many(rate)  # of several, separated by semicolons or commas, `parse` would take the first
        if single.amount < 1:
            raise ValueError("nobody could come in")
    except ValueError as fault:
        raise SettingsError(f"CXR_RATE_LIMIT is {rate!r}; write a rate such as 100/minute: one, of 1 or more.") from fault
    return single


def _storage(url: str) -> Storage:
    try:
        storage = storage_from_string(f"async+{url}", implementation="redispy")
    except Exception as fault:  # limits and Redis each have their own
        raise SettingsError(
            "CXR_RATE_LIMIT_STORAGE is neither memory:// nor the URL of a Redis server, such as redis://host:6379/0."
        ) from fault
    if not isinstance(storage, Storage):
        raise SettingsError("CXR_RATE_LIMIT_STORAGE must be memory:// or the URL of a Redis server.")
    return storage
