"""What is learnt of a request while it is answered, for its audit row: who called, and what was said."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf

from service.access.caller import Caller
from service.http.thread_pool import Place
from service.records.values import PredictionRecord


@dataclass
class Call:
    """One request. Filled by whoever learns something, read when its answer is about to leave.

    endpoint: the route, see `roles.endpoint_of`. needs_row: whether an audit row is still to be written.
    address: of the client, anonymised. problem: kind of the refusal, None without one. predictions: in the order of the films.
    films: how many were sent; a film that is refused has no prediction. deadline: of time.monotonic, when the client is told
    that the time is over. place: kept for the film while it is being sent. counts: called once the answer is on record, by any
    thread; an answer that is refused or held back counts no film, since its client will send it again.
    """

    method: str
    endpoint: str
    needs_row: bool
    caller: Caller | None = None
    address: str | None = None
    problem: str | None = None
    films: int = 0
    deadline: float = inf
    place: Place | None = None
    predictions: list[PredictionRecord] = field(default_factory=list)
    counts: list[Callable[[], None]] = field(default_factory=list)


_current: ContextVar[Call] = ContextVar("call")


def begin_call(method: str, endpoint: str, needs_row: bool) -> Call:
    """A new call, the current one of this context."""
    call = Call(method, endpoint, needs_row)
    _current.set(call)
    return call


def current_call() -> Call:
    """The request being answered. Raises LookupError outside one."""
    return _current.get()
