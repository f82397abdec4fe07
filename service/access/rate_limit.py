"""Rate limit of each caller. Requests are counted in memory or, for several processes together, in Redis."""

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

# Longest wait for Redis, which usually answers in less than a millisecond: a slow one must not hold up films.
_REDIS_SECONDS = 0.25

# After Redis failed, requests are counted in memory for this long.
_OUTAGE_SECONDS = 10.0

_PREFIX = "cxr-rate"


class RateLimiter:
    """Counts requests in a sliding window. While Redis is unreachable, each process counts alone, so more are admitted.

    rate: for example "100/minute", in the notation of the limits library.
    storage_url: memory://, or the URL of a Redis server.

    Raises SettingsError.
    """

    def __init__(self, rate: str, storage_url: str = "memory://") -> None:
        self._rate = _parsed(rate)
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if storage_url == "memory://" else SlidingWindowCounterRateLimiter(_storage(storage_url))
        self._away_until = 0.0

    async def hit(self, identity: str) -> RateLimited | None:
        """Count a request. Returns the refusal if it exceeds the rate, with the seconds until the next one is accepted."""
        if self._shared is not None and monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(_REDIS_SECONDS):
                    return await self._hit(self._shared, identity)
            except Exception as fault:  # the errors depend on the client library
                logger.warning("Redis is away, so each process counts requests alone: %s", type(fault).__name__)
                self._away_until = monotonic() + _OUTAGE_SECONDS
        return await self._hit(self._local, identity)

    async def _hit(self, limiter: SlidingWindowCounterRateLimiter, identity: str) -> RateLimited | None:
        if await limiter.hit(self._rate, _PREFIX, identity):
            return None
        window = await limiter.get_window_stats(self._rate, _PREFIX, identity)
        wait_seconds = max(1, math.ceil(window.reset_time - time()))
        return RateLimited(f"Rate limit exceeded: {self._rate}. Try again in {wait_seconds} s.", wait_seconds)


def _parsed(rate: str) -> RateLimitItem:
    try:
        [single] = parse_many(rate)  # `parse` would take the first of several rates
        if single.amount < 1:
            raise ValueError("no request would be accepted")
    except ValueError as fault:
        raise SettingsError(f"CXR_RATE_LIMIT is {rate!r}; write a rate such as 100/minute: one, of 1 or more.") from fault
    return single


def _storage(url: str) -> Storage:
    try:
        storage = storage_from_string(f"async+{url}", implementation="redispy")
        if not isinstance(storage, Storage):
            raise TypeError(type(storage))
    except Exception as fault:  # limits and Redis raise errors of their own
        raise SettingsError(
            "CXR_RATE_LIMIT_STORAGE is neither memory:// nor the URL of a Redis server, such as redis://host:6379/0."
        ) from fault
    return storage
