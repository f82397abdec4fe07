import asyncio
from time import time

import pytest
from limits import parse

from service.access.rate_limit import RateLimiter, _in_words, _when
from service.errors import RateLimited, SettingsError
from tests.support.databases import REDIS

STORAGES = ["memory://", pytest.param(REDIS, marks=pytest.mark.skipif(not REDIS, reason="CXR_TEST_REDIS_URL is not set"))]


@pytest.mark.parametrize("storage", STORAGES)
def test_one_request_too_many_is_told_when_to_come_back(storage):
    identity = f"test:{time()}"

    async def scenario():
        limiter = RateLimiter("3/minute", storage)
        for _ in range(3):
            await limiter.hit(identity)
        with pytest.raises(
            RateLimited, match=r"^You have sent more than 3 requests in a minute; the next one is answered in "
        ) as refused:
            await limiter.hit(identity)
        assert 1 <= refused.value.retry_after_seconds <= 60
        await limiter.hit(identity + "another")
        if storage != "memory://":  # another process
            with pytest.raises(RateLimited):
                await RateLimiter("3/minute", storage).hit(identity)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("100/minute", "100 requests in a minute"),
        ("1/hour", "1 request in an hour"),
        ("20 per 15 minutes", "20 requests in 15 minutes"),
        ("5/second", "5 requests in a second"),
    ],
)
def test_a_rate_is_told_in_words(rate, words):
    assert _in_words(parse(rate)) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "in 1 second."), (119, "in 119 seconds."), (121, "in 3 minutes."), (7200, "in 120 minutes.")]
)
def test_the_time_of_the_next_request_is_told_in_words(seconds, words):
    assert _when(seconds).endswith(words)


def test_while_redis_is_away_each_process_counts_alone(caplog):
    async def scenario():
        limiter = RateLimiter("2/minute", "redis://user:hush@127.0.0.1:1/0")
        await limiter.hit("a")
        await limiter.hit("a")
        with pytest.raises(RateLimited):
            await limiter.hit("a")

    asyncio.run(scenario())
    assert caplog.text.count("Redis is away") == 1
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("rate", "storage"),
    [
        ("many", "memory://"),
        ("1/fortnight", "memory://"),
        ("0/minute", "memory://"),  # told everybody that the next request is answered in a second
        ("1/second; 100/hour", "memory://"),  # the second one never counted
        ("1/minute", "redis-ish://h"),
        ("1/minute", "x"),
    ],
)
def test_a_rate_or_storage_that_cannot_be_is_named(rate, storage):
    with pytest.raises(SettingsError, match="CXR_RATE_LIMIT"):
        RateLimiter(rate, storage)
