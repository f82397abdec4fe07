"""Judges films in several processes; their rows come in the order of the films."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from service.film.errors import UnreadableImage
from service.score.judge import Task, judge, prepare
from service.score.rows import Row, refusal_row

# Films submitted ahead for each process: enough that no process waits, few enough that memory stays bounded.
_AHEAD = 4


class Processes:
    """A pool of processes for one task. A film that crashes its process takes no other film with it.

    task: what each process does.
    count: processes in the pool.
    model: of the rows of films that crash a process; see `model_columns`.
    """

    def __init__(self, task: Task, count: int, model: Row) -> None:
        self._task = task
        self._count = count
        self._model = model
        self._pool = self._start(count)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Drop the films that wait; after Ctrl-C also end the processes at once, whatever they judge."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if kind is KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()

    def rows(self, paths: Iterable[str]) -> Iterator[Row | None]:
        """What `judge` returns for each film."""
        waiting: deque[tuple[str, Future[Row | None]]] = deque()
        for path in paths:
            waiting.append((path, self._submit(path)))
            if len(waiting) >= _AHEAD * self._count:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def _submit(self, path: str) -> "Future[Row | None]":
        try:
            return _submit_whole(self._pool, path)
        except BrokenProcessPool as broken:  # an earlier film broke it; `_first` handles that when this film's turn comes
            future: Future[Row | None] = Future()
            future.set_exception(broken)
            return future

    def _first(self, waiting: deque[tuple[str, "Future[Row | None]"]]) -> Row | None:
        path, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            return self._retry(path, waiting)

    def _retry(self, path: str, waiting: deque[tuple[str, "Future[Row | None]"]]) -> Row | None:
        """A process died, and any film that was being judged may be why: judge this one alone, and submit the others again."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._start(1) as alone:
            try:
                row = _submit_whole(alone, path).result()
            except BrokenProcessPool:
                error = UnreadableImage("The film's file breaks the program that judges it.")
                row = refusal_row(path, b"", error, self._model)
        self._pool = self._start(self._count)
        for _ in range(len(waiting)):
            other, _broken = waiting.popleft()
            waiting.append((other, self._submit(other)))
        return row

    def _start(self, count: int) -> ProcessPoolExecutor:
        # Not forked: threads of ONNX Runtime and OpenCV do not survive that.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(count, mp_context=context, initializer=prepare, initargs=(self._task,))


def _submit_whole(pool: ProcessPoolExecutor, path: str) -> "Future[Row | None]":
    """Submit a film, and let Ctrl-C wait meanwhile: a process that the pool starts now must get its task whole.

    That process inherits the blocked signal, and leaves Ctrl-C to this one. Here other threads still receive the signal; a
    handler notes it, and it is raised again afterwards.
    """
    pressed: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(judge, path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
        signal.signal(signal.SIGINT, handler)
        if pressed:
            signal.raise_signal(signal.SIGINT)
