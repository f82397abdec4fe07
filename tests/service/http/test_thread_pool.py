import asyncio
import functools
import gc
import threading
import weakref

import pytest

from service.errors import Overloaded
from service.http.thread_pool import WorkerPool


@pytest.fixture
def pool():
    pool = WorkerPool(threads=2, queue_limit=1)
    yield pool
    pool.shut_down()


def test_results_and_errors_come_in_the_order_of_the_calls(pool):
    def fails():
        raise ValueError("one")

    first, second, third = asyncio.run(pool.run([lambda: 1, fails, lambda: 3]))
    assert (first, third) == (1, 3)
    assert isinstance(second, ValueError)


def test_what_does_not_fit_is_refused_whole(pool):
    ran = []
    with pytest.raises(Overloaded, match="4 more do not fit"):
        asyncio.run(pool.run([lambda: ran.append(1)] * 4))
    assert ran == []


def test_calls_run_at_once(pool):
    meeting = threading.Barrier(2, timeout=10)
    assert len(asyncio.run(pool.run([meeting.wait, meeting.wait]))) == 2


def test_a_call_whose_caller_gave_up_keeps_its_place_until_it_ends(pool):
    release, waiting = threading.Event(), []

    def waits():
        release.wait(10)

    async def scenario():
        task = asyncio.create_task(pool.run([waits, waits, lambda: waiting.append(1)]))
        await asyncio.sleep(0)  # let it submit
        with pytest.raises(Overloaded):
            pool.check_room()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pool.check_room(1)  # the one that only waited has left the queue
        with pytest.raises(Overloaded):
            pool.check_room(2)
        release.set()

    asyncio.run(scenario())
    assert waiting == []


def test_a_cancelled_call_lets_go_of_its_film_though_all_threads_are_stuck(pool):
    class Film:
        pass

    release = threading.Event()

    async def scenario():
        stuck = [asyncio.create_task(pool.run([lambda: release.wait(10)])) for _ in range(2)]
        film = Film()
        kept = weakref.ref(film)
        queued = asyncio.create_task(pool.run([functools.partial(id, film)]))
        del film
        await asyncio.sleep(0)  # let all submit
        queued.cancel()
        await asyncio.wait([queued])
        del queued
        gc.collect()
        assert kept() is None
        release.set()
        await asyncio.gather(*stuck)

    asyncio.run(scenario())


def test_a_place_is_kept_until_it_is_given_back_and_only_once():
    pool = WorkerPool(threads=1, queue_limit=1)
    one, two = pool.reserve(), pool.reserve()
    with pytest.raises(Overloaded):
        pool.reserve()
    one.give_back()
    one.give_back()
    pool.reserve()
    with pytest.raises(Overloaded):
        pool.reserve()
    two.give_back()
    assert asyncio.run(pool.run([lambda: "done"])) == ["done"]
    pool.shut_down()


def test_how_many_calls_wait_is_told_whenever_it_changes():
    told = []
    pool = WorkerPool(threads=1, queue_limit=3, report_waiting=told.append)
    release = threading.Event()

    async def run():
        calls = asyncio.ensure_future(pool.run([release.wait] * 3))
        await asyncio.sleep(0)
        release.set()
        await calls

    asyncio.run(run())
    pool.shut_down()
    assert told[:2] == [1, 2] and told[-1] == 0
