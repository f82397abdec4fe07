"""A bounded pool of threads for the work of a request: so much at once, so much waiting, and no more."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from service.contract.errors import Overloaded

T = TypeVar("T")


class WorkerPool:
    """Runs blocking calls on threads of its own. `run` belongs to the event loop; only one thread may call it.

    threads: calls running at once. queue_limit: calls that may wait beyond those.

    A call whose caller gave up keeps its place until it ends: a thread cannot be stopped, and counting it as gone would let
    the next ones pile up behind it.
    """

    def __init__(self, threads: int, queue_limit: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="cxr")
        self._capacity = threads + queue_limit
        self._unfinished: set[Future[object]] = set()

    def check_room(self, calls: int = 1) -> None:
        """Raise Overloaded if so many further calls would not fit."""
        self._unfinished = {future for future in self._unfinished if not future.done()}
        if len(self._unfinished) + calls > self._capacity:
            raise Overloaded(
                f"{len(self._unfinished)} films are being worked on or waiting and {calls} more do not fit; try again shortly."
            )

    async def run(self, calls: Sequence[Callable[[], T]]) -> list[T | BaseException]:
        """Run all calls, or none: raises Overloaded if they do not fit together. Results and errors in their order.

        Cancelling takes calls that have not started out of the queue.
        """
        self.check_room(len(calls))
        futures = [self._executor.submit(call) for call in calls]
        self._unfinished.update(futures)  # type: ignore[arg-type]
        return await asyncio.gather(*(asyncio.wrap_future(future) for future in futures), return_exceptions=True)

    def shut_down(self) -> None:
        """Drop what waits and let what runs end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
