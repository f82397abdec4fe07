"""Films through several processes, their rows in the order of the films."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from service.film.errors import UnreadableImage
from service.score.judge import Task, judge, prepare
from service.score.rows import Row, refusal_row

# Films on their way for each process: enough that none waits, few enough that memory stays bounded.
_AHEAD = 4


class Workers:
    """processes: of their own, so that a film that crashes one takes no other with it."""

    def __init__(self, task: Task, processes: int, model_version: str) -> None:
        self._task = task
        self._processes = processes
        self._version = model_version
        self._pool = self._start(processes)

    def rows(self, paths: Iterable[str]) -> Iterator[tuple[str, Row | None]]:
        """Path and row of each film, in the order of the paths."""
        waiting: deque[tuple[str, Future[Row | None]]] = deque()
        for path in paths:
            waiting.append((path, self._submit(path)))
            if len(waiting) >= _AHEAD * self._processes:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def close(self) -> None:
        """Let go of what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        """At once, whatever is being judged."""
        self.close()
        for process in multiprocessing.active_children():
            process.terminate()

    def _submit(self, path: str) -> "Future[Row | None]":
        try:
            return _submit(self._pool, path)
        except BrokenProcessPool as broken:  # of a film before: told when it is this one's turn
            future: Future[Row | None] = Future()
            future.set_exception(broken)
            return future

    def _first(self, waiting: deque[tuple[str, "Future[Row | None]"]]) -> tuple[str, Row | None]:
        path, future = waiting.popleft()
        try:
            return path, future.result()
        except BrokenProcessPool:
            return path, self._alone(path, waiting)

    def _alone(self, path: str, waiting: deque[tuple[str, "Future[Row | None]"]]) -> Row | None:
        """A process died, nobody knows of which film: this one is tried by itself, and the others are begun anew."""
        self.close()
        with self._start(1) as alone:
            try:
                row = _submit(alone, path).result()
            except BrokenProcessPool:
                error = UnreadableImage("The film's file breaks the program that judges it.")
                row = refusal_row(path, b"", error, self._version)
        self._pool = self._start(self._processes)
        for _ in range(len(waiting)):
            other, _broken = waiting.popleft()
            waiting.append((other, self._submit(other)))
        return row

    def _start(self, processes: int) -> ProcessPoolExecutor:
        # Not forked: threads of ONNX Runtime and OpenCV do not survive that.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(processes, mp_context=context, initializer=prepare, initargs=(self._task,))


def _submit(pool: ProcessPoolExecutor, path: str) -> "Future[Row | None]":
    """As the pool's own. A process that it starts for this inherits that Ctrl-C, which is meant for us, is not heard."""
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(judge, path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
