"""Values that go into the record store and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class AuditEntry:
    """One call of the API (REPORT 9.3).

    timestamp: when the answer was ready.
    outcome: "ok" or the kind of problem.
    address: the client's, anonymised.
    prediction: the finding; those of a batch separated by semicolons.
    prediction_id: its identifier; those of a batch separated by semicolons; of a report, the prediction that it is about.
    confidence, image_sha256: of a single film.
    """

    timestamp: datetime
    request_id: str
    method: str
    endpoint: str
    status: int
    outcome: str
    user_id: str | None = None
    role: str | None = None
    address: str | None = None
    prediction: str | None = None
    confidence: float | None = None
    inference_time_ms: float | None = None
    model_version: str | None = None
    image_sha256: str | None = None
    prediction_id: str | None = None


@dataclass(frozen=True)
class AuditRow:
    """An audit entry as stored. Personal fields are None once the row is anonymised.

    seq: 1, 2, 3 … without gaps.
    timestamp: ISO 8601.
    hash: over this row and all before it.
    """

    seq: int
    timestamp: str
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
    hash: str
    prediction_id: str | None


@dataclass(frozen=True)
class AuditFilter:
    """Which rows: since <= timestamp < until, and exactly this user_id and endpoint. None: any."""

    since: datetime | None = None
    until: datetime | None = None
    user_id: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True)
class AuditPage:
    """Some rows of the log.

    next_after_seq: the next page's `after_seq`, None on the last page.
    head: "seq:hash" of the newest row of the whole log.
    """

    rows: tuple[AuditRow, ...]
    next_after_seq: int | None
    head: str


@dataclass(frozen=True)
class PredictionRecord:
    """The prediction for one film.

    index: of the film in its batch, else 0.
    image_sha256: of the film's bytes, which are not kept.
    """

    timestamp: datetime
    prediction_id: str
    request_id: str
    index: int
    endpoint: str
    user_id: str | None
    model_version: str
    image_sha256: str
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
    """How a client names a prediction: by its identifier or by its request's. All that is given must agree.

    index: of the film in its batch.
    """

    prediction_id: str | None = None
    request_id: str | None = None
    index: int | None = None


@dataclass(frozen=True)
class Feedback:
    """The confirmed label of a prediction."""

    timestamp: datetime
    about: PredictionName
    label: str
    user_id: str | None = None


@dataclass(frozen=True)
class Incident:
    """A misdiagnosis.

    case_id: the hospital's pseudonym of the case.
    label: what the film shows, if known.
    """

    timestamp: datetime
    case_id: str
    about: PredictionName
    label: str | None = None
    note: str | None = None
    user_id: str | None = None


@dataclass(frozen=True)
class NewReport:
    """A feedback or an incident to be stored.

    table: its name.
    values: column -> value, including those copied from the prediction.
    """

    table: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class StoredReport:
    """A report that was stored, as compared with those before it.

    number: the row's, in its table.
    is_first: whether it is the prediction's first report of its kind.
    is_first_label: whether it brings the prediction's first label, as feedback or as incident.
    corrected_from: the film's label until then, if this one differs.
    """

    number: int
    is_first: bool
    is_first_label: bool
    corrected_from: str | None


@dataclass(frozen=True)
class RetentionPolicy:
    """Ages in days.

    predictions: when predictions are deleted.
    anonymise: when audit rows lose their personal fields, and reports their author.
    audit: when audit rows are deleted.
    """

    predictions: int = 90
    anonymise: int = 90
    audit: int = 365


def utc_text(moment: datetime) -> str:
    """ISO 8601, UTC, microseconds, as all tables store times: sorts as text, and hashes the same in every database."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
