"""How many bytes of bodies may be held at once: clients that send slowly, and films that wait, hold memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import Overloaded

Hold = Callable[[int], None]


class BodyBudget:
    """Belongs to the event loop. max_bytes: of all bodies together, from their first byte to their answer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """A function to tell of each chunk that one request has received; it raises Overloaded if that is too much.

        Counted as it comes and not as it is announced: a client that announces much and sends nothing keeps nobody out.
        """
        own = 0

        def hold(size_bytes: int) -> None:
            nonlocal own
            if self._held + size_bytes > self._max_bytes:
                raise Overloaded("The films that clients are sending fill the memory kept for them; try again shortly.")
            own += size_bytes
            self._held += size_bytes

        try:
            yield hold
        finally:
            self._held -= own
