"""How much work the service takes on at once: threads, a bounded queue, and the memory for request bodies."""

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Generic, TypeVar

from service.errors import Overloaded
from service.metrics import QUEUE_DEPTH, QUEUE_LIMIT

T = TypeVar("T")

# How long a slot is kept for a film that is still being sent. Some megabytes take less in a hospital's network; a slower
# client gives its slot up, and competes for one again when its film has arrived.
SENDING_SECONDS = 1.0

# Refusals cost CPU time too. Below this rate each goes out at once, so that a load balancer can try the next server.
REFUSALS_PER_SECOND = 50.0

# Delay of the refusals beyond that rate: the time that Retry-After names, for clients that ignore it.
REFUSAL_DELAY_SECONDS = 1.0

# Each delayed refusal holds a connection and up to 64 KiB that the server has read from it.
MAX_DELAYED_REFUSALS = 1000


class Capacity:
    """Admits requests with films, runs their work, and delays refusals in a flood. To be used on the event loop only.

    threads: films processed at once.
    queue_limit: films that may wait beyond those.
    max_held_bytes: limit for all request bodies together, each from its first byte until its answer is ready.

    A film whose client gave up counts until its thread ends: a thread cannot be stopped, and films admitted in its place would
    pile up behind it.
    """

    def __init__(self, threads: int, queue_limit: int, max_held_bytes: int) -> None:
        self._threads = threads
        self._max_films = threads + queue_limit
        self._max_held_bytes = max_held_bytes
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="cxr")
        self._films = 0
        self._changing_films = threading.Lock()
        self._held_bytes = 0
        self._refusals = _RefusalPace()
        QUEUE_LIMIT.set(queue_limit)

    async def reserve(self) -> "Reservation":
        """Reserve a slot for a film that is still being sent. Raises Overloaded, after a delay in a flood of requests."""
        try:
            self.check_room()
        except Overloaded:
            await self._refusals.wait()
            raise
        self._add(1)
        reservation = Reservation(self)
        asyncio.get_running_loop().call_later(SENDING_SECONDS, reservation.free_slot)
        return reservation

    def check_room(self, films: int = 1) -> None:
        """Raise Overloaded unless there is room for this many more films."""
        taken = self._films
        if taken + films > self._max_films:
            raise Overloaded(f"Films being judged or waiting: {taken}. There is no room for {films} more; try again shortly.")

    def close(self) -> None:
        """Drop the films that wait; those being processed end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _submit(self, call: Callable[[], T]) -> "Future[T]":
        work = _Work(call)
        future = self._executor.submit(work)
        self._add(1)
        # Runs on the thread that ends the call, before the coroutine that awaits the result continues.
        future.add_done_callback(functools.partial(self._finish, work))
        return future

    def _finish(self, work: "_Work[T]", _: "Future[T]") -> None:
        work.drop()
        self._add(-1)

    def _hold(self, size_bytes: int) -> None:
        if self._held_bytes + size_bytes > self._max_held_bytes:
            raise Overloaded("The films being sent fill the memory reserved for them; try again shortly.")
        self._held_bytes += size_bytes

    def _add(self, films: int) -> None:
        with self._changing_films:
            self._films += films
            QUEUE_DEPTH.set(max(0, self._films - self._threads))


class Reservation:
    """What one request takes of the capacity: a slot while its film is being sent, and the bytes of its body."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._has_slot = True
        self._held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Count bytes of the body as they arrive. Raises Overloaded if all bodies together would exceed their limit.

        The declared length is not counted: a client that declares much and sends nothing must not keep others out.
        """
        self._capacity._hold(size_bytes)
        self._held_bytes += size_bytes

    async def run(self, call: Callable[[], T]) -> T:
        """Run a blocking call on the threads. If cancelled before the call starts, it leaves the queue. Raises Overloaded."""
        self._make_room(1)
        return await asyncio.wrap_future(self._capacity._submit(call))

    async def run_all(self, calls: Sequence[Callable[[], T]]) -> list[T | BaseException]:
        """Run several calls, all or none: raises Overloaded if they do not all fit. Returns results and errors in order."""
        self._make_room(len(calls))
        waiting = [asyncio.wrap_future(self._capacity._submit(call)) for call in calls]
        return await asyncio.gather(*waiting, return_exceptions=True)

    def _make_room(self, films: int) -> None:
        self.free_slot()  # nothing is awaited before the calls are submitted, so no other request can take it
        self._capacity.check_room(films)

    def free_slot(self) -> None:
        """Give the slot up; a second call does nothing."""
        if self._has_slot:
            self._has_slot = False
            self._capacity._add(-1)

    def release(self) -> None:
        """Give everything up; a second call does nothing."""
        self.free_slot()
        self._capacity._held_bytes -= self._held_bytes
        self._held_bytes = 0


class _Work(Generic[T]):
    """A call in the executor's queue, which keeps cancelled calls until a thread takes them; `drop` frees the film at once."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call: Callable[[], T] | None = call

    def __call__(self) -> T:
        if self._call is None:
            raise RuntimeError("a dropped call cannot run")
        return self._call()

    def drop(self) -> None:
        self._call = None


class _RefusalPace:
    """A token bucket: REFUSALS_PER_SECOND go out at once, the others wait."""

    def __init__(self) -> None:
        self._tokens = REFUSALS_PER_SECOND
        self._filled_at = monotonic()
        self._delayed = 0

    async def wait(self) -> None:
        now = monotonic()
        self._tokens = min(REFUSALS_PER_SECOND, self._tokens + (now - self._filled_at) * REFUSALS_PER_SECOND)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
        elif self._delayed < MAX_DELAYED_REFUSALS:
            self._delayed += 1
            try:
                await asyncio.sleep(REFUSAL_DELAY_SECONDS)
            finally:
                self._delayed -= 1
