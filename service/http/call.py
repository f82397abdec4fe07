"""The request being answered, as far as its answer, its audit row and its metrics need it."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf

from service.access.caller import Caller
from service.http.capacity import Reservation
from service.records.values import PredictionRecord


@dataclass
class Call:
    """One request. Middleware and endpoints fill it in; the audit row is written from it before the answer leaves."""

    request_id: str  # the client's X-Request-ID, or a new one
    method: str  # HTTP method
    endpoint: str  # the route, see `roles.endpoint_of`
    needs_row: bool  # whether an audit row is still to be written
    caller: Caller | None = None  # who called; None if unknown
    address: str | None = None  # anonymised address of the client
    problem: str | None = None  # kind of the refusal; None without one
    films: int = 0  # number of films sent, refused ones included
    deadline: float = inf  # time.monotonic() at which the client is told that the time is over
    reservation: Reservation | None = None  # capacity reserved for the films; None for other requests
    predictions: list[PredictionRecord] = field(default_factory=list)  # of the films that were judged, in the order sent
    # called by any thread once the answer is on record. An answer that is refused or withheld counts no film, because its
    # client will send the film again.
    counts: list[Callable[[], None]] = field(default_factory=list)

    @property
    def user_id(self) -> str | None:
        """Who called; None if unknown."""
        return self.caller.user_id if self.caller else None


_current: ContextVar[Call] = ContextVar("call")


def begin_call(call: Call) -> None:
    """Make a new call the current one of this context."""
    _current.set(call)


def current_call() -> Call:
    """The request being answered. Raises LookupError outside one."""
    return _current.get()
