import asyncio

from service.http import pace
from service.http.pace import MAX_PAUSED, PAUSE_SECONDS, REFUSALS_PER_SECOND, RefusalPace


def paused_of(count, monkeypatch):
    """How many of so many refusals at one moment wait, and for how long each."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        await release.wait()

    async def scenario():
        global release  # noqa: PLW0603
        release = asyncio.Event()
        monkeypatch.setattr(pace, "monotonic", lambda: 100.0)
        monkeypatch.setattr(pace.asyncio, "sleep", sleep)
        refusals = RefusalPace()
        tasks = [asyncio.create_task(refusals.wait()) for _ in range(count)]
        while len(waits) < min(max(0, count - int(REFUSALS_PER_SECOND)), MAX_PAUSED):
            await asyncio.wait(tasks, timeout=0.01)
        release.set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    return waits


def test_a_few_refusals_go_out_at_once(monkeypatch):
    assert paused_of(int(REFUSALS_PER_SECOND), monkeypatch) == []


def test_of_a_flood_the_rest_waits_as_long_as_retry_after_asks(monkeypatch):
    assert paused_of(int(REFUSALS_PER_SECOND) + 70, monkeypatch) == [PAUSE_SECONDS] * 70


def test_no_more_wait_than_there_is_memory_for(monkeypatch):
    assert len(paused_of(int(REFUSALS_PER_SECOND) + MAX_PAUSED + 30, monkeypatch)) == MAX_PAUSED
