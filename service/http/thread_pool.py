"""A bounded pool of threads for the work of a request: so much at once, so much waiting, and no more."""

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from service.errors import Overloaded

T = TypeVar("T")


class _Work(Generic[T]):
    """A call as the executor's queue holds it: the queue keeps cancelled ones until a thread comes by, but not their film."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call: Callable[[], T] | None = call

    def __call__(self) -> T:
        if self._call is None:
            raise RuntimeError("a call that was let go of cannot be run")
        return self._call()

    def let_go(self) -> None:
        """Forget the call, and with it the film that it holds."""
        self._call = None


class Place:
    """Room that is kept in a pool. `give_back` may be called more than once."""

    def __init__(self, pool: "WorkerPool") -> None:
        self._pool: WorkerPool | None = pool

    def give_back(self) -> None:
        """To be taken by a call, or by somebody else."""
        if self._pool is not None:
            self._pool._change(-1)
            self._pool = None


class WorkerPool:
    """Runs blocking calls on threads of its own. `run` belongs to the event loop; only one thread may call it.

    threads: calls running at once. queue_limit: calls that may wait beyond those. report_waiting: is told how many wait,
    whenever that changes; by any thread, one at a time.

    A call whose caller gave up keeps its place until it ends: a thread cannot be stopped, and counting it as gone would let
    the next ones pile up behind it.
    """

    def __init__(self, threads: int, queue_limit: int, report_waiting: Callable[[int], None] = lambda calls: None) -> None:
        self._threads = threads
        self._report_waiting = report_waiting
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="cxr")
        self._capacity = threads + queue_limit
        self._unfinished = 0
        self._counting = threading.Lock()

    def reserve(self) -> "Place":
        """Room for one call that is still on its way. Raises Overloaded."""
        self.check_room()
        self._change(1)
        return Place(self)

    def check_room(self, calls: int = 1) -> None:
        """Raise Overloaded if so many further calls would not fit."""
        unfinished = self._unfinished
        if unfinished + calls > self._capacity:
            raise Overloaded(
                f"{unfinished} films are being worked on or waiting and {calls} more do not fit; try again shortly."
            )

    async def run(self, calls: Sequence[Callable[[], T]]) -> list[T | BaseException]:
        """Run all calls, or none: raises Overloaded if they do not fit together. Results and errors in their order.

        Cancelling takes calls that have not started out of the queue.
        """
        self.check_room(len(calls))
        waiting = [asyncio.wrap_future(self._submit(call)) for call in calls]
        if len(waiting) > 1:
            return await asyncio.gather(*waiting, return_exceptions=True)
        # The usual single film goes without gather's bookkeeping.
        try:
            return [await future for future in waiting]
        except Exception as error:
            return [error]

    def _submit(self, call: Callable[[], T]) -> "Future[T]":
        work = _Work(call)
        future = self._executor.submit(work)
        self._change(1)
        # Called on the thread that ends the call, before whoever waits for it is told.
        future.add_done_callback(functools.partial(self._leave, work))
        return future

    def _leave(self, work: "_Work[T]", _: "Future[T]") -> None:
        work.let_go()
        self._change(-1)

    def _change(self, calls: int) -> None:
        with self._counting:
            waiting = self._waiting()
            self._unfinished += calls
            if self._waiting() != waiting:
                self._report_waiting(self._waiting())

    def _waiting(self) -> int:
        return max(0, self._unfinished - self._threads)

    def shut_down(self) -> None:
        """Drop what waits and let what runs end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
