"""Waiting for what other processes and threads do."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

# It happens in a fraction of a second; a busy machine may need many times that.
PATIENCE_SECONDS = 60

T = TypeVar("T")


def eventually(look: Callable[[], T], holds: Callable[[T], bool] = bool, patience_seconds: float = PATIENCE_SECONDS) -> T:
    """What `look` gives as soon as it `holds`, or at last."""
    deadline = time.monotonic() + patience_seconds
    pause = threading.Event()
    while not holds(found := look()) and time.monotonic() < deadline:
        pause.wait(0.05)
    return found
