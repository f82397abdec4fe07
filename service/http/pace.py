"""Refusing costs time as well: in a flood of films, refusals wait a moment, so that the films let in get the processor."""

import asyncio
from time import monotonic

# Of a service that is a little too full, every refusal goes out at once: a balancer can try the next server.
REFUSALS_PER_SECOND = 50.0

# What Retry-After asks for, and what clients that do not heed it get.
PAUSE_SECONDS = 1.0

# Each holds a connection and what the server had read of it, 64 KiB at most.
MAX_PAUSED = 1000


class RefusalPace:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._left = REFUSALS_PER_SECOND
        self._seen = monotonic()
        self._paused = 0

    async def wait(self) -> None:
        """Return at once, or after PAUSE_SECONDS if there were too many lately."""
        now = monotonic()
        self._left = min(REFUSALS_PER_SECOND, self._left + (now - self._seen) * REFUSALS_PER_SECOND)
        self._seen = now
        if self._left >= 1:
            self._left -= 1
            return
        if self._paused < MAX_PAUSED:
            self._paused += 1
            try:
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                self._paused -= 1
