"""Identity of the bundle, and counts and licences of the films as manifest.csv states them. Opens no film."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from service.model.findings import FINDINGS
from service.model.manifest import GRAPH_NAME, ModelManifest
from training.data.folder import MANIFEST_NAME, SPLITS, FilmFile

NOT_STATED, UNCLEAR = "not stated", "unclear"


def summarise_data(root: Path, films: Iterable[FilmFile]) -> dict[str, Any]:
    """By source: datasets, licences and non-commercial flags, each with its number of films; and counts by class and split.

    films: of the folder `root`, all splits. The columns original_dataset, licence and noncommercial of manifest.csv are
    optional; what they leave empty is "not stated", and a non-commercial flag other than yes and no is "unclear".
    """
    rows = _manifest_rows(root / MANIFEST_NAME)
    by_source: dict[str, list[FilmFile]] = defaultdict(list)
    for film in films:
        by_source[film.source].append(film)
    summary = {}
    for source, members in sorted(by_source.items()):
        stated = [rows.get(film.relative, {}) for film in members]
        summary[source] = {
            "dataset": _tally(row.get("original_dataset") for row in stated),
            "licence": _tally(row.get("licence") for row in stated),
            "noncommercial": _tally(_flag(row.get("noncommercial")) for row in stated),
            "counts": {
                finding.value: {split: sum(f.finding is finding and f.split == split for f in members) for split in SPLITS}
                for finding in FINDINGS
                if any(film.finding is finding for film in members)
            },
        }
    return summary


def _manifest_rows(manifest: Path) -> dict[str, dict[str, str]]:
    """Rows of manifest.csv by path; training.data.folder has checked the file."""
    if not manifest.exists():
        return {}
    with manifest.open(encoding="utf-8-sig", newline="") as lines:
        return {row["path"]: row for row in csv.DictReader(lines)}


def bundle_identity(manifest: ModelManifest) -> dict[str, str]:
    """Name, version and SHA-256 of the graph: which bundle was judged, as metrics.json records it."""
    return {"name": manifest.name, "version": manifest.version, "model_sha256": manifest.files[GRAPH_NAME]}


def _flag(statement: str | None) -> str | None:
    word = (statement or "").strip().lower()
    return word if word in ("", "yes", "no") else UNCLEAR


def _tally(statements: Iterable[str | None]) -> dict[str, int]:
    """Number of films by statement, the most frequent first."""
    counts = Counter((statement or "").strip() or NOT_STATED for statement in statements)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
