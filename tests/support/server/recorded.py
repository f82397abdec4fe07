"""Audit entries, predictions and reports to store."""

from datetime import UTC, datetime
from hashlib import sha256

from service.prediction_id import new_prediction_id
from service.records.store import RecordStore
from service.records.values import AuditEntry, Feedback, Incident, PredictionName, PredictionRecord, StoredReport

MOMENT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def entry(number: int = 0, moment: datetime = MOMENT, **changes) -> AuditEntry:
    values = {
        "timestamp": moment,
        "request_id": f"request-{number}",
        "method": "POST",
        "endpoint": "/predict",
        "status": 200,
        "outcome": "ok",
        "user_id": "dr_who",
        "role": "clinician",
        "address": "192.168.1.x",
        "prediction": "Pneumonia",
        "confidence": 0.92,
        "inference_time_ms": 11.8,
        "model_version": "1.1.0",
        "image_sha256": "ab" * 32,
        "prediction_id": new_prediction_id(),
    }
    return AuditEntry(**(values | changes))


def digest(number: int) -> str:
    """SHA-256 of a film."""
    return sha256(str(number).encode()).hexdigest()


def prediction(number: int = 0, moment: datetime = MOMENT, **changes) -> PredictionRecord:
    values = {
        "timestamp": moment,
        "prediction_id": new_prediction_id(),
        "request_id": f"request-{number}",
        "index": 0,
        "endpoint": "/predict",
        "user_id": "dr_who",
        "model_version": "1.1.0",
        "site": None,
        "image_sha256": digest(number),
        "image_format": "png",
        "width_px": 512,
        "height_px": 400,
        "prediction": "Pneumonia",
        "confidence": 0.92,
        "probabilities": {"Normal": 0.05, "Pneumonia": 0.92, "Tuberculosis": 0.03},
        "operating_point": "balanced",
        "prediction_set": ("Pneumonia",),
        "review_reasons": (),
        "inference_time_ms": 11.8,
    }
    return PredictionRecord(**(values | changes))


def of_request(number: int = 0, index: int | None = None) -> PredictionName:
    """The prediction of that number, by its request."""
    return PredictionName(request_id=f"request-{number}", index=index)


def report(store: RecordStore, said: Feedback | Incident) -> StoredReport:
    """Store a report, with a call of its own."""
    new = store.feedback_report(said) if isinstance(said, Feedback) else store.incident_report(said)
    return store.append(entry(moment=said.timestamp, endpoint="/feedback", status=201), report=new).result(30)
