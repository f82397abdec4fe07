"""The request being answered: what its answer, its audit row and its metrics need to know."""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf

from starlette.datastructures import Headers
from starlette.types import Scope

from service.access.caller import Caller
from service.access.roles import endpoint_of, required_roles
from service.http.capacity import Reservation
from service.records.values import PredictionRecord

REQUEST_ID_HEADER = "X-Request-ID"

# Safe in logs, file names and headers. Clients' other values are replaced, not corrected.
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass
class Call:
    """One request. Middleware and endpoints fill it in; the audit row is written from it before the answer leaves."""

    request_id: str  # the client's X-Request-ID if it is valid, else a new UUID 4
    method: str
    endpoint: str  # the route, see `roles.endpoint_of`
    needs_row: bool  # whether an audit row is still to be written
    caller: Caller | None = None  # who called; None if unknown
    address: str | None = None  # anonymised address of the client
    problem: str | None = None  # kind of the refusal; None without one
    films: int = 0  # number of films sent, refused ones included
    deadline: float = inf  # time.monotonic() at which the client gets a 504
    reservation: Reservation | None = None  # capacity reserved for the films; None for other requests
    predictions: list[PredictionRecord] = field(default_factory=list)  # of the films that were judged, in the order sent
    # Called by any thread once the answer is on record. Not called if the request is refused or the answer withheld, because
    # the client will send the film again.
    counts: list[Callable[[], None]] = field(default_factory=list)

    @property
    def user_id(self) -> str | None:
        """Who called; None if unknown."""
        return self.caller.user_id if self.caller else None


_current: ContextVar[Call] = ContextVar("call")


def begin_call(scope: Scope) -> Call:
    """Begin the call for the request of this ASGI scope, and make it the current one of this context."""
    path, sent = scope["path"], Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    request_id = sent if _VALID_REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())
    call = Call(request_id, scope["method"], endpoint_of(path), needs_row=required_roles(path) is not None)
    _current.set(call)
    return call


def current_call() -> Call:
    """The request being answered. Raises LookupError outside one."""
    return _current.get()
