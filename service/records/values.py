"""Values that go into the record store and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class AuditEntry:
    """One call of the API (REPORT 9.3).

    confidence, image_sha256: of a single film.
    """

    timestamp: datetime  # when the answer was ready
    request_id: str
    method: str
    endpoint: str
    status: int
    outcome: str  # "ok" or the kind of problem
    user_id: str | None = None
    role: str | None = None
    address: str | None = None  # the client's, anonymised
    prediction: str | None = None  # the finding; those of a batch separated by semicolons
    confidence: float | None = None
    inference_time_ms: float | None = None
    model_version: str | None = None
    image_sha256: str | None = None
    # The prediction's identifier; those of a batch separated by semicolons; for a report, that of its prediction
    prediction_id: str | None = None
    site: str | None = None  # the site profile that answered, as name-version


@dataclass(frozen=True)
class AuditRow:
    """An audit entry as stored. Personal fields are None once the row is anonymised."""

    seq: int  # 1, 2, 3 … without gaps
    timestamp: str  # ISO 8601
    request_id: str | None
    method: str
    endpoint: str
    status: int
    outcome: str
    user_id: str | None
    role: str | None
    address: str | None
    prediction: str | None
    confidence: float | None
    inference_time_ms: float | None
    model_version: str | None
    image_sha256: str | None
    hash: str  # over this row and all before it
    prediction_id: str | None
    site: str | None


@dataclass(frozen=True)
class AuditFilter:
    """Which rows: since <= timestamp < until, and exactly this user_id and endpoint. None: any."""

    since: datetime | None = None
    until: datetime | None = None
    user_id: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True)
class AuditPage:
    """Some rows of the log."""

    rows: tuple[AuditRow, ...]
    next_after_seq: int | None  # the next page's `after_seq`, None on the last page
    head: str  # "seq:hash" of the newest row of the whole log


@dataclass(frozen=True)
class PredictionRecord:
    """The prediction for one film."""

    timestamp: datetime
    prediction_id: str
    request_id: str
    index: int  # of the film in its batch, else 0
    endpoint: str
    user_id: str | None
    model_version: str
    site: str | None  # the site profile that answered, as name-version
    image_sha256: str  # of the film's bytes, which are not kept
    image_format: str
    width_px: int
    height_px: int
    prediction: str
    confidence: float
    probabilities: Mapping[str, float]
    operating_point: str
    prediction_set: tuple[str, ...]
    review_reasons: tuple[str, ...]
    inference_time_ms: float


@dataclass(frozen=True)
class PredictionName:
    """How a client names a prediction: by its identifier or by its request's. All that is given must agree."""

    prediction_id: str | None = None
    request_id: str | None = None
    index: int | None = None  # of the film in its batch


@dataclass(frozen=True)
class Feedback:
    """The confirmed label of a prediction."""

    timestamp: datetime
    about: PredictionName
    label: str
    user_id: str | None = None


@dataclass(frozen=True)
class Incident:
    """A misdiagnosis."""

    timestamp: datetime
    case_id: str  # the hospital's pseudonym of the case
    about: PredictionName
    label: str | None = None  # what the film shows, if known
    note: str | None = None
    user_id: str | None = None


@dataclass(frozen=True)
class NewReport:
    """A feedback or an incident to be stored."""

    table: str  # its name
    values: Mapping[str, Any]  # column -> value, including those copied from the prediction


@dataclass(frozen=True)
class StoredReport:
    """A report that was stored, as compared with those before it."""

    number: int  # the row's, in its table
    is_first: bool  # whether it is the prediction's first report of its kind
    is_first_label: bool  # whether it brings the prediction's first label, as feedback or as incident
    corrected_from: str | None  # the film's label until then, if this one differs


@dataclass(frozen=True)
class RetentionPolicy:
    """Ages in days."""

    predictions: int = 90  # when predictions are deleted
    anonymise: int = 90  # when audit rows lose their personal fields, and reports their author
    audit: int = 365  # when audit rows are deleted


def utc_text(moment: datetime) -> str:
    """ISO 8601, UTC, microseconds, as all tables store times: sorts as text, and hashes the same in every database."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
