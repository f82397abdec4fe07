from time import time

import pytest

from service.access.rate_limit import RateLimiter
from service.errors import RateLimited, SettingsError
from tests.support.databases import REDIS

STORAGES = ["memory://", pytest.param(REDIS, marks=pytest.mark.skipif(not REDIS, reason="CXR_TEST_REDIS_URL is not set"))]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("storage", STORAGES)
async def test_one_request_too_many_is_refused_with_the_seconds_to_wait(storage):
    identity = f"test:{time()}"
    limiter = RateLimiter("3/minute", storage)
    for _ in range(3):
        assert await limiter.hit(identity) is None
    refused = await limiter.hit(identity)
    assert 1 <= refused.retry_after_seconds <= 60
    assert str(refused) == f"Rate limit exceeded: 3 per 1 minute. Try again in {refused.retry_after_seconds} s."
    assert await limiter.hit(identity + "another") is None
    if storage != "memory://":  # another process
        assert isinstance(await RateLimiter("3/minute", storage).hit(identity), RateLimited)


@pytest.mark.anyio
async def test_while_redis_is_away_each_process_counts_alone(caplog):
    limiter = RateLimiter("2/minute", "redis://user:hush@127.0.0.1:1/0")
    assert [await limiter.hit("a") for _ in range(2)] == [None, None]
    assert isinstance(await limiter.hit("a"), RateLimited)
    assert caplog.text.count("Redis is away") == 1
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("rate", "storage"),
    [
        ("many", "memory://"),
        ("1/fortnight", "memory://"),
        ("0/minute", "memory://"),
        ("1/second; 100/hour", "memory://"),
        ("1/minute", "redis-ish://h"),
        ("1/minute", "x"),
    ],
)
def test_a_rate_or_storage_that_cannot_be_is_named(rate, storage):
    with pytest.raises(SettingsError, match="CXR_RATE_LIMIT"):
        RateLimiter(rate, storage)
