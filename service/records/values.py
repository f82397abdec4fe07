"""What goes into the store and comes out of it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class AuditEntry:
    """One call of the API (REPORT 9.3).

    timestamp: when its answer was ready. outcome: "ok" or the kind of problem. address: of the client, anonymised.
    prediction, prediction_id: the finding and whose it is, those of a batch separated by semicolons; of a report, the
    prediction_id that it is about. confidence, image_sha256: of a single film.
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
    """An audit entry as it lies in the log. timestamp: ISO 8601. Personal fields are None once the row is anonymised.

    seq: 1, 2, 3 … without gaps. hash: of this row and all before it.
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
    """since <= timestamp < until; user_id, endpoint: exactly these. None: any."""

    since: datetime | None = None
    until: datetime | None = None
    user_id: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True)
class AuditPage:
    """next_after_seq: where the next page begins, None on the last. head: "seq:hash" of the newest row of the whole log."""

    rows: tuple[AuditRow, ...]
    next_after_seq: int | None
    head: str


@dataclass(frozen=True)
class PredictionRecord:
    """What was said of one film. index: its place in a batch, else 0. image_sha256: of its bytes, all that is kept of them."""

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
    """How a client names a prediction: by its own identifier, or by that of the request that brought it.

    prediction_id, request_id: one of them is given. index: place of the film in a batch. All that is given must agree.
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
    """A misdiagnosis. case_id: the hospital's pseudonym of the case. label: what the film shows, if known."""

    timestamp: datetime
    case_id: str
    about: PredictionName
    label: str | None = None
    note: str | None = None
    user_id: str | None = None


@dataclass(frozen=True)
class NewReport:
    """A feedback or an incident as it is to be stored. table: its name. values: by column; of its prediction as well."""

    table: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class StoredReport:
    """What a report was when it was stored.

    number: its own, in its table. is_first: whether none of its kind was there of that prediction. is_first_label: whether
    it brings the prediction's first label, be it as feedback or as incident. corrected_from: the film's label until then, if
    this one differs.
    """

    number: int
    is_first: bool
    is_first_label: bool
    corrected_from: str | None


@dataclass(frozen=True)
class RetentionPolicy:
    """Ages in days. predictions: deleted. anonymise: audit rows lose their personal fields, and reports their author.

    audit: rows deleted, the oldest first.
    """

    predictions: int = 90
    anonymise: int = 90
    audit: int = 365


def utc_text(moment: datetime) -> str:
    """As all tables spell a time: ISO 8601, UTC, microseconds; so it sorts, and hashes alike in every database."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
