"""Folders as a site might give them to `cxr commission`, full of phantoms, and the command on them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from export.phantom import phantom_film
from service.commands.cxr import main
from service.model.findings import FINDINGS, Finding
from service.model.site_profile import SiteProfile
from tests.support.encoded_films import encode

# Classes of many sites.
TWO = (Finding.NORMAL, Finding.TUBERCULOSIS)


def phantom_png(finding: Finding, seed: int, size_px: int = 128) -> bytes:
    return encode(phantom_film(finding, seed, size_px), "PNG")


def add_film(folder: Path, relative: str, finding: Finding = Finding.NORMAL, seed: int = 1) -> Path:
    """Write a phantom; its parents are made if need be."""
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(phantom_png(finding, seed))
    return path


def class_folders(folder: Path, films: int, findings: Sequence[Finding] = FINDINGS, first_seed: int = 70_000) -> Path:
    """That many films in a folder of each class."""
    for finding in findings:
        for index in range(films):
            add_film(folder, f"{finding}/{index:03}.png", finding, first_seed + 1_000 * FINDINGS.index(finding) + index)
    return folder


def write_table(path: Path, rows: Iterable[Sequence[str]], header: str = "path,label,patient") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


class CommissionedSite:
    """A folder for everything, and the command."""

    def __init__(self, root, bundle):
        self.root, self.bundle, self.films = root, bundle, root / "films"

    def commission(self, *options, films=True, name="mercy"):
        folders = ["--out", str(self.root / "sites"), "--reports", str(self.root / "reports")]
        given = [str(self.films)] if films else []
        return main(["commission", *given, "--site", name, "--bundle", str(self.bundle.path), *folders, *options])

    def metrics(self, number=1):
        return json.loads((self.root / "reports" / f"commission-mercy-{number}" / "metrics.json").read_text())

    def profile(self, number=1):
        return SiteProfile.open(self.root / "sites" / f"mercy-{number}")

    def written(self):
        return sorted(path.name for folder in ("sites", "reports") for path in (self.root / folder).glob("*"))
