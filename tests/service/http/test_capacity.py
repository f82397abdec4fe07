"""Slots, threads, bytes and refusals, without a server."""

import asyncio
import functools
import gc
import threading
import weakref
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from service.errors import Overloaded
from service.http import capacity
from service.http.capacity import MAX_DELAYED_REFUSALS, REFUSAL_DELAY_SECONDS, REFUSALS_PER_SECOND, Capacity

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def new_capacity(threads=2, queue_limit=1, max_held_bytes=100):
    return Capacity(threads, queue_limit, max_held_bytes)


async def run(held, calls):
    """Their results, run for a request that was just admitted."""
    return await (await held.reserve()).run_all(calls)


async def test_results_and_errors_come_in_the_order_of_the_calls():
    def fails():
        raise ValueError("one")

    first, second, third = await run(new_capacity(), [lambda: 1, fails, lambda: 3])
    assert (first, third) == (1, 3)
    assert isinstance(second, ValueError)


async def test_what_does_not_fit_is_refused_whole():
    ran = []
    with pytest.raises(Overloaded, match="no room for 4 more"):
        await run(new_capacity(), [lambda: ran.append(1)] * 4)
    assert ran == []


async def test_calls_run_at_once():
    meeting = threading.Barrier(2, timeout=10)
    assert len(await run(new_capacity(), [meeting.wait, meeting.wait])) == 2


async def test_a_call_whose_caller_gave_up_keeps_its_slot_until_it_ends():
    release, waiting = threading.Event(), []

    def waits():
        release.wait(10)

    held = new_capacity()
    reservation = await held.reserve()
    task = asyncio.create_task(reservation.run_all([waits, waits, lambda: waiting.append(1)]))
    await asyncio.sleep(0)  # let it submit
    with pytest.raises(Overloaded):
        held.check_room()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.check_room(1)  # the one that only waited has left the queue
    with pytest.raises(Overloaded):
        held.check_room(2)
    release.set()
    held._executor.shutdown()
    assert waiting == []


async def test_a_cancelled_call_lets_go_of_its_film_though_all_threads_are_stuck():
    class Film:
        pass

    release = threading.Event()
    held = new_capacity(queue_limit=3)
    stuck = [asyncio.create_task((await held.reserve()).run(lambda: release.wait(10))) for _ in range(2)]
    film = Film()
    kept = weakref.ref(film)
    queued = asyncio.create_task((await held.reserve()).run(functools.partial(id, film)))
    del film
    await asyncio.sleep(0)  # let all submit
    queued.cancel()
    await asyncio.wait([queued])
    del queued
    gc.collect()
    assert kept() is None
    release.set()
    await asyncio.gather(*stuck)


async def test_a_slot_is_kept_until_it_is_given_up_and_only_once():
    held = new_capacity(threads=1)
    one, two = await held.reserve(), await held.reserve()
    with pytest.raises(Overloaded):
        await held.reserve()
    one.release()
    one.release()
    await held.reserve()
    with pytest.raises(Overloaded):
        await held.reserve()
    assert await two.run(lambda: "done") == "done"


async def test_who_sends_slowly_gives_the_slot_up(monkeypatch):
    monkeypatch.setattr(capacity, "SENDING_SECONDS", 0.0)
    held = new_capacity(threads=1, queue_limit=0)
    await held.reserve()
    await asyncio.sleep(0.01)
    await held.reserve()


async def test_how_many_films_may_wait_and_do_is_shown_whenever_it_changes(monkeypatch):
    reported = []
    monkeypatch.setattr(capacity, "QUEUE_DEPTH", SimpleNamespace(set=reported.append))
    release = threading.Event()
    held = new_capacity(threads=1, queue_limit=3)
    calls = asyncio.ensure_future((await held.reserve()).run_all([release.wait] * 3))
    await asyncio.sleep(0)
    assert reported[-1] == 2
    release.set()
    await calls
    assert reported[-1] == 0
    assert REGISTRY.get_sample_value("cxr_queue_limit") == 3


async def test_bodies_are_held_up_to_the_limit_together_and_free_it_at_their_end():
    held = new_capacity(max_held_bytes=100)
    one, other = await held.reserve(), await held.reserve()
    one.hold(60)
    other.hold(40)
    for full in (one, other):
        with pytest.raises(Overloaded):
            full.hold(1)
    one.release()  # as it would be after an error; a refused chunk was not counted
    other.hold(60)
    with pytest.raises(Overloaded):
        other.hold(1)


@pytest.mark.parametrize(("beyond", "delayed"), [(0, 0), (70, 70), (MAX_DELAYED_REFUSALS + 30, MAX_DELAYED_REFUSALS)])
async def test_a_few_refusals_go_out_at_once_and_of_a_flood_no_more_wait_than_there_is_memory_for(monkeypatch, beyond, delayed):
    monkeypatch.setattr(capacity, "monotonic", lambda: 100.0)
    monkeypatch.setattr(capacity, "SENDING_SECONDS", 60.0)
    delays = []
    release = asyncio.Event()

    async def sleep(seconds):
        delays.append(seconds)
        await release.wait()

    full = new_capacity(threads=1, queue_limit=0)
    await full.reserve()
    monkeypatch.setattr(capacity.asyncio, "sleep", sleep)
    refusals = [asyncio.create_task(full.reserve()) for _ in range(int(REFUSALS_PER_SECOND) + beyond)]
    while len(delays) < delayed:
        await asyncio.wait(refusals, timeout=0.01)
    release.set()
    outcomes = await asyncio.gather(*refusals, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Overloaded}
    assert delays == [REFUSAL_DELAY_SECONDS] * delayed
