"""The service's side of the sandbox: hands films to decoding processes, and ends those that take too long."""

import logging
import os
import select
import signal
import subprocess
import sys
import threading
from math import inf
from pathlib import Path
from time import monotonic
from typing import IO, cast

from service.errors import DecoderFailed, OutOfTime
from service.film.errors import InputError, UnreadableImage
from service.film.film import Radiograph
from service.film.limits import DecodeLimits
from service.sandbox import messages

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent.parent

# Codecs hold a film at 4 bytes a pixel, some twice, in addition to the file.
_BYTES_PER_PIXEL = 12
_ROOM_BYTES = 512 * 1024 * 1024

_CHUNK_BYTES = 1 << 20

# Variables by which a decoder finds Python, packages, libraries and a folder for temporary files. It gets no others, so the
# service's keys and passwords stay out of it.
_INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONHOME",
    "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH",
)  # fmt: skip

# BentoML or the terminal sends the signals that end the service to its children as well. A decoder blocks them, finishes its
# film and ends with the service.
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# Starting a process takes half a second; a busy machine may need many times that.
START_SECONDS = 30.0

# The longest single wait: poll takes milliseconds as a C int.
_LONGEST_WAIT_SECONDS = 3600.0

# An idle process keeps the memory of the largest film that it decoded, and most services get such a film once in hours.
IDLE_SECONDS = 60.0


class SandboxedDecoder:
    """Decodes films in processes of its own, one for each thread that waits. They start when needed, and end when idle."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        # Idle processes, each with the time.monotonic() of its last film; the last one decodes next.
        self._idle: list[tuple[float, _Process]] = []
        self._changing = threading.Lock()
        self._sweeper: threading.Timer | None = None

    def decode(self, film: bytes, decode_side_px: int | None, deadline: float) -> Radiograph:
        """As `Radiograph.from_bytes`, in another process. deadline: time.monotonic() at which that process is killed.

        Raises InputError, OutOfTime, or DecoderFailed if no process can be started.
        """
        try:
            return self._decoded_by(self._take(deadline), film, decode_side_px, deadline)
        except _Gone as fault:
            # Either the film broke it, or the kernel or an operator ended it. A second process shows which.
            logger.warning("The process that decoded a film ended (%s); the film is tried again in another", fault)
        try:
            return self._decoded_by(self._start(deadline), film, decode_side_px, deadline)
        except _Gone as fault:
            logger.warning("The film broke the second process as well (%s)", fault)
            raise UnreadableImage("The film's file breaks the program that decodes it; export the film again.") from fault

    def _decoded_by(self, process: "_Process", film: bytes, decode_side_px: int | None, deadline: float) -> Radiograph:
        """Raises InputError, OutOfTime, or _Gone."""
        try:
            decoded = process.decode(film, decode_side_px, self._limits, deadline)
        except InputError:
            self._give_back(process)
            raise
        except _Gone as fault:
            process.end()
            raise _Gone(f"status {process.status}") from fault
        except BaseException:
            # Above all OutOfTime: the rest of its answer must not be taken for that to the next film.
            process.end()
            raise
        self._give_back(process)
        return decoded

    def close(self) -> None:
        """End the idle processes."""
        self._end_idle(inf)

    def _take(self, deadline: float) -> "_Process":
        with self._changing:
            while self._idle:
                _, process = self._idle.pop()
                if process.is_alive():
                    return process
                process.end()
        return self._start(deadline)

    def _start(self, deadline: float) -> "_Process":
        return _Process(_BYTES_PER_PIXEL * self._limits.max_pixels + _ROOM_BYTES, deadline)

    def _give_back(self, process: "_Process") -> None:
        with self._changing:
            self._idle.append((monotonic(), process))
            if self._sweeper is None:
                self._sweep_later()

    def _sweep(self) -> None:
        self._end_idle(monotonic() - IDLE_SECONDS)
        with self._changing:
            self._sweeper = None
            if self._idle:
                self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweeper = threading.Timer(IDLE_SECONDS, self._sweep)
        self._sweeper.daemon = True
        self._sweeper.start()

    def _end_idle(self, until: float) -> None:
        """End the processes that have been idle since `until`, by time.monotonic(), or longer."""
        with self._changing:
            ended = [process for since, process in self._idle if since <= until]
            self._idle = [(since, process) for since, process in self._idle if since > until]
        for process in ended:
            process.end()


class _Gone(Exception):
    """The process ended, or sent something that is no answer."""


class _Process:
    """One decoding process, ready to take films, used by one thread at a time.

    room_bytes: memory that decoding may take.
    deadline: by time.monotonic(). Raises OutOfTime if the process is not ready by then, DecoderFailed if it cannot start.
    """

    def __init__(self, room_bytes: int, deadline: float) -> None:
        try:
            self._popen = _start(room_bytes)
        except OSError as fault:
            raise _cannot_start(str(fault)) from fault
        # Not None: they were requested at its start.
        self._pipes = cast(IO[bytes], self._popen.stdin), cast(IO[bytes], self._popen.stdout)
        self._to, self._from = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self._to, False)
        with cast(IO[bytes], self._popen.stderr) as complaints:
            self._wait_until_ready(complaints, deadline)

    def _wait_until_ready(self, complaints: IO[bytes], deadline: float) -> None:
        """complaints: its stderr until it is ready; it has seen no film yet, so this may be logged."""
        latest = monotonic() + START_SECONDS
        try:
            messages.read_header(lambda size: self._read(size, min(deadline, latest)))
        except (_Gone, OutOfTime, ValueError) as fault:  # ValueError: it printed something else first
            self.end()
            if isinstance(fault, OutOfTime) and deadline < latest:
                raise
            raise _cannot_start(complaints.read().decode(errors="replace").strip() or f"status {self.status}") from fault

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._popen.returncode

    def is_alive(self) -> bool:
        """Whether it can take a film."""
        return self._popen.poll() is None

    def decode(self, film: bytes, decode_side_px: int | None, limits: DecodeLimits, deadline: float) -> Radiograph:
        """Raises InputError, OutOfTime, or _Gone."""
        for part in messages.request(film, decode_side_px, limits):
            self._write(memoryview(part), deadline)
        try:
            header = messages.read_header(lambda size: self._read(size, deadline))
            return messages.parse_answer(header or {}, lambda size: self._read(size, deadline))
        except ValueError as fault:
            raise _Gone from fault

    def end(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()
        for pipe in self._pipes:
            pipe.close()

    def _write(self, data: memoryview, deadline: float) -> None:
        while data:
            self._wait(self._to, select.POLLOUT, deadline)
            try:
                data = data[os.write(self._to, data[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as fault:
                raise _Gone from fault

    def _read(self, size: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < size:
            self._wait(self._from, select.POLLIN, deadline)
            chunk = os.read(self._from, min(size - len(received), _CHUNK_BYTES))
            if not chunk:
                raise _Gone
            received += chunk
        return bytes(received)

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        # Not select.select, which takes descriptors below 1024 only: with many connections a pipe has a higher one.
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(1000 * max(0.0, min(deadline - monotonic(), _LONGEST_WAIT_SECONDS))):
            raise OutOfTime("The film could not be decoded in the time allowed; send a smaller copy.")


def _start(room_bytes: int) -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # It finds the same packages as this process, however this one found them.
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)  # inherited, from its first moment on
    try:
        return subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "service.sandbox", str(room_bytes)],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _cannot_start(reason: str) -> DecoderFailed:
    logger.error("The program that decodes large and compressed films cannot be started: %s", reason)
    return DecoderFailed("The program that decodes large and compressed films cannot be started; see the service's log.")
