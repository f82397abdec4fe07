"""Waits for other processes and threads."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

# Many times what an idle machine needs.
PATIENCE_SECONDS = 60

T = TypeVar("T")


def eventually(look: Callable[[], T], holds: Callable[[T], bool] = bool, patience_seconds: float = PATIENCE_SECONDS) -> T:
    """The result of `look` as soon as it `holds`, or the last one when patience ends."""
    deadline = time.monotonic() + patience_seconds
    pause = threading.Event()
    while not holds(found := look()) and time.monotonic() < deadline:
        pause.wait(0.05)
    return found
