"""Runs one step of a job in a process of its own, which never outlives this process.

Training, export and evaluation set threads and seeds for their whole process, and need its memory for themselves. A step that
went on after this process was killed would write into the folder that the next start resumes.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service.film.errors import ChestXrayError
from training.errors import StepFailed


def run_step(log: Path, function: Callable[..., object], *arguments: Any) -> None:
    """Call a module-level function in a new process; print its output and append it to `log`. Raises StepFailed."""
    name = function.__name__
    context = multiprocessing.get_context("spawn")
    output, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, function, arguments), name=name)
    print(f"\n== {name} ==", flush=True)
    with log.open("ab") as stream:
        stream.write(f"== {name} ==\n".encode())
        stream.flush()
        process.start()
        theirs.close()
        try:
            # In pieces, not lines: progress bars do not end theirs.
            while piece := os.read(output.fileno(), 65536):
                stream.write(piece)
                sys.stdout.write(piece.decode(errors="replace"))
                sys.stdout.flush()
            process.join()
        except BaseException:  # an interrupt, or a full disk: multiprocessing would wait for the step's end
            process.kill()
            process.join()
            raise
    output.close()
    if process.exitcode != 0:
        raise StepFailed(
            f"The step `{name}` ended with status {process.exitcode}; the output above and {log} say why. Once that is fixed, "
            "the same command resumes here."
        )


def _run(output: Connection, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    try:
        function(*arguments)
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
