"""Identity of the bundle, and counts and licences of the films as manifest.csv states them. Opens no picture."""

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
    """Per source: dataset, licences and their non-commercial flags (with numbers of films), counts by class and split.

    films: of the folder `root`, all splits. Columns original_dataset, licence and noncommercial of manifest.csv are optional;
    what they do not say is "not stated", and a non-commercial flag other than yes and no "unclear".
    """
    stated = _statements(root / MANIFEST_NAME)
    by_source: dict[str, list[FilmFile]] = defaultdict(list)
    for film in films:
        by_source[film.source].append(film)
    return {
        source: {
            "dataset": _tally(stated.get(film.relative, {}).get("original_dataset") for film in members),
            "licence": _tally(stated.get(film.relative, {}).get("licence") for film in members),
            "noncommercial": _tally(_flag(stated.get(film.relative, {}).get("noncommercial")) for film in members),
            "counts": {
                finding.value: {split: sum(f.finding is finding and f.split == split for f in members) for split in SPLITS}
                for finding in FINDINGS
                if any(film.finding is finding for film in members)
            },
        }
        for source, members in sorted(by_source.items())
    }


def _statements(manifest: Path) -> dict[str, dict[str, str]]:
    """Rows of manifest.csv by path; training.data.folder has checked the file."""
    if not manifest.exists():
        return {}
    with manifest.open(encoding="utf-8-sig", newline="") as lines:
        return {row["path"]: row for row in csv.DictReader(lines)}


def bundle_identity(manifest: ModelManifest) -> dict[str, str]:
    """Which bundle was judged, as metrics.json says it."""
    return {"name": manifest.name, "version": manifest.version, "model_sha256": manifest.files[GRAPH_NAME]}


def _flag(statement: str | None) -> str | None:
    word = (statement or "").strip().lower()
    return word if word in ("", "yes", "no") else UNCLEAR


def _tally(statements: Iterable[str | None]) -> dict[str, int]:
    """How many films make each statement, most frequent first."""
    counts = Counter((statement or "").strip() or NOT_STATED for statement in statements)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
