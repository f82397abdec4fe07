"""CSV files for other programs: the audit log, and the confirmed labels."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from service.files import atomic_write
from service.model.findings import FINDINGS
from service.records.database import Database
from service.records.labels import confirmed_labels
from service.records.store import RecordStore
from service.records.values import AuditFilter, AuditRow

_ROWS_AT_ONCE = 1000


def write_audit(records: RecordStore, path: Path, wanted: AuditFilter) -> int:
    """One line for each audit row, in the order of the log; returns how many. Raises RecordsUnavailable or OSError."""
    names = list(AuditRow.__dataclass_fields__)
    after: int | None = 0
    count = 0
    with _writer(path) as writer:
        writer.writerow(names)
        while after is not None:
            page = records.audit_page(wanted, after, _ROWS_AT_ONCE)
            writer.writerows([getattr(row, name) for name in names] for row in page.rows)
            after, count = page.next_after_seq, count + len(page.rows)
    return count


def write_labels(database: Database, path: Path, since: datetime | None) -> int:
    """One line for each row of `confirmed_labels`; returns how many. Raises RecordsUnavailable or OSError."""
    before = ["timestamp", "kind", "request_id", "film_index", "image_sha256", "label", "prediction", "confidence"]
    behind = ["model_version", "prediction_id", "corrected_from", "site"]
    count = 0
    with _writer(path) as writer:
        writer.writerow([*before, *(f"probability_{finding.lower()}" for finding in FINDINGS), *behind])
        for row in confirmed_labels(database, since):
            probabilities = json.loads(row["probabilities"])
            shares = [probabilities.get(finding) for finding in FINDINGS]
            writer.writerow([*(row[name] for name in before), *shares, *(row[name] for name in behind)])
            count += 1
    return count


@contextmanager
def _writer(path: Path) -> Iterator[Any]:
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        yield csv.writer(stream)
