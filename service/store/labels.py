"""The labels that clinicians confirmed, for retraining."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import RowMapping, literal, select, union_all

from service.store import schema
from service.store.database import Database
from service.store.records import utc_text

_SHARED = (
    "timestamp", "request_id", "film_index", "image_sha256", "label", "prediction", "confidence", "probabilities",
    "model_version",
)  # fmt: skip


def confirmed_labels(database: Database, since: datetime | None = None) -> Iterator[RowMapping]:
    """The latest report on each film that names a label, oldest first: columns of `feedback`, and `kind`.

    An incident without a label says only that the prediction was wrong; it is for the manual review that it asks for.
    Raises RecordsUnavailable.
    """
    feedback = select(*(schema.feedback.c[name] for name in _SHARED), literal("feedback").label("kind"))
    incidents = select(*(schema.incidents.c[name] for name in _SHARED), literal("incident").label("kind")).where(
        schema.incidents.c.label.is_not(None), schema.incidents.c.retraining
    )
    reports = union_all(feedback, incidents).subquery()
    query = select(reports).order_by(reports.c.timestamp)
    if since is not None:
        query = query.where(reports.c.timestamp >= utc_text(since))
    latest: dict[tuple[str, int], RowMapping] = {}
    with database.reading() as connection:
        for row in connection.execute(query).mappings():
            place = (row["request_id"], row["film_index"])
            latest.pop(place, None)  # so that it takes the place of its last report
            latest[place] = row
    yield from latest.values()
