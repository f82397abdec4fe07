"""Keeps the cores from going to sleep, to measure the cost of waking them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# A loop that yields to everything else: Linux's idle policy, on the core given as the first argument.
_LOOP = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True:
    pass
"""


def can_keep_awake() -> bool:
    """Whether this system has a scheduling policy below all others (Linux)."""
    return hasattr(os, "SCHED_IDLE")


@contextmanager
def cores_kept_awake() -> Iterator[None]:
    """One busy loop of the lowest priority on each core of this process, for as long as the block runs."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP, str(core)]) for core in sorted(os.sched_getaffinity(0))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
