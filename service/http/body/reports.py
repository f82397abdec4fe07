"""JSON bodies of /feedback and /incidents, and the query of /audit."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from starlette.requests import Request

from service.errors import MalformedRequest, OutOfTime
from service.http.body.upload import MAX_BATCH_FILMS, read_body
from service.model.findings import Finding
from service.records.values import PredictionName
from service.validation_messages import wanted

# A note of 2,000 characters takes at most 24,000 bytes as JSON: two escapes each beyond the Basic Multilingual Plane.
MAX_REPORT_BYTES = 32 * 1024

MAX_AUDIT_ROWS = 1000

_IDENTIFIER = r"^[A-Za-z0-9._-]{1,128}$"

# PostgreSQL's text type rejects null characters; of the other control characters, notes need only line breaks and tabs.
_PLAIN_TEXT = r"^[^\x00-\x08\x0b-\x1f]*$"
_PLAIN_LINE = r"^[^\x00-\x1f]*$"

_PATTERNS = {
    _IDENTIFIER: "must be 1 to 128 letters, digits and . _ -",
    _PLAIN_TEXT: "must be plain text, without control characters",
    _PLAIN_LINE: "must be one line of plain text, without control characters",
}


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


# Pydantic would accept true as 1.
FilmIndex = Annotated[int, BeforeValidator(_refuse_bool), Field(ge=0, lt=MAX_BATCH_FILMS)]


class _Report(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"anyOf": [{"required": ["prediction_id"]}, {"required": ["request_id"]}]},
    )

    prediction_id: str | None = Field(
        default=None, pattern=_IDENTIFIER, description="The prediction_id of the film's answer. This, or request_id."
    )
    request_id: str | None = Field(
        default=None, pattern=_IDENTIFIER, description="The request_id of the film's answer, if no other film has the same."
    )
    index: FilmIndex | None = Field(default=None, description="Position of the film in the batch that request_id names.")

    @model_validator(mode="after")
    def _names_a_prediction(self) -> Self:
        if self.prediction_id is None and self.request_id is None:
            raise ValueError("name the film by the prediction_id of its answer, or by its request_id")
        return self

    def about(self) -> PredictionName:
        """The prediction reported on."""
        return PredictionName(self.prediction_id, self.request_id, self.index)


class FeedbackBody(_Report):
    """The confirmed label of an earlier prediction."""

    label: Finding


class IncidentBody(_Report):
    """A misdiagnosis, to be marked for manual review and for retraining."""

    case_id: str = Field(pattern=_IDENTIFIER, description="The hospital's own pseudonym of the case, not a name.")
    label: Finding | None = Field(default=None, description="What the film really shows, if known.")
    note: str | None = Field(
        default=None,
        max_length=2000,
        pattern=_PLAIN_TEXT,
        description="What went wrong; no names, no dates of birth.",
    )


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as fault:
        raise ValueError("must be a moment between the years 1 and 9999 in UTC") from fault


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class AuditQuery(BaseModel):
    """Selects rows of the audit log, oldest first. after: `next` of the previous page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: Moment | None = Field(default=None, description="Rows from this moment on; ISO 8601 with a time zone.")
    until: Moment | None = Field(default=None, description="Rows before this moment.")
    user: str | None = Field(default=None, max_length=256, pattern=_PLAIN_LINE, description="Rows of this user_id.")
    endpoint: str | None = Field(
        default=None, max_length=128, pattern=_PLAIN_LINE, description="Rows of this path, for example /predict."
    )
    after: int = Field(default=0, ge=0, lt=2**63, description="Rows after this number.")
    limit: int = Field(default=100, ge=1, le=MAX_AUDIT_ROWS, description="Rows on a page.")


Body = TypeVar("Body", bound=BaseModel)


async def read_report(request: Request, model: type[Body], timeout_seconds: float) -> Body:
    """Parse the JSON body. Raises MalformedRequest, which names the wrong fields, UploadTooLarge, or OutOfTime."""
    try:
        async with asyncio.timeout(timeout_seconds):
            content = await read_body(request, MAX_REPORT_BYTES)
    except TimeoutError as fault:
        raise OutOfTime(f"The body did not arrive within {timeout_seconds:g} s; send it again.") from fault
    try:
        values = json.loads(content, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as fault:
        raise MalformedRequest("The body is not JSON; send an object as /docs describes it.") from fault
    return _parse(values, model)


def read_query(request: Request, model: type[Body]) -> Body:
    """Parse the query parameters. Raises MalformedRequest, which names the wrong ones."""
    return _parse(_each_once(request.query_params.multi_items()), model)


def _each_once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The members by name. Duplicates are refused: RFC 8259, 4, leaves open which of them counts."""
    values: dict[str, Any] = {}
    for name, value in members:
        if name in values:
            raise MalformedRequest(f"{name[:64]!r} is given more than once; give it once.")
        values[name] = value
    return values


def _parse(values: Any, model: type[Body]) -> Body:
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        errors = fault.errors()
        faults = "; ".join(_fault_text(error) for error in errors[:5])
        if any(error["type"] == "extra_forbidden" for error in errors):
            faults += f". Known: {', '.join(model.model_fields)}"
        raise MalformedRequest(f"The request is not as /docs describes it. {faults}.") from fault


def _fault_text(error: ErrorDetails) -> str:
    """Does not repeat the value, which may be about a patient."""
    return f"{'.'.join(str(part)[:64] for part in error['loc']) or 'the body'}: {wanted(error, _PATTERNS)}"
