"""One evaluation of a real bundle on phantoms, which many tests look at."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import pytest

from export.phantom import phantom_film
from service.commands.cxr import main
from service.model.bundle import ModelBundle
from service.model.findings import Finding
from service.model.manifest import MANIFEST_NAME
from training.data.folder import folder_fingerprint, scan_folder

LICENCES = {"source0": ("CC BY 4.0", "no"), "source1": ("non-commercial research", "yes")}
SMALL_FILM = "test/Normal/small.png"

# Parts that have tests of their own are left out, so that the evaluation stays quick.
CORE_PARTS = ("calibration", "operating_points", "prevalence", "prediction_sets", "misclassified")


@pytest.fixture(scope="session")
def licensed_data(phantom_dataset) -> Path:
    """Phantoms with two sources, licences, and one test film that the service refuses."""
    root = phantom_dataset(films_per_class={"train": 2, "val": 2, "test": 5}, manifest=True)
    (root / SMALL_FILM).write_bytes(cv2.imencode(".png", phantom_film(Finding.NORMAL, 1, 64))[1].tobytes())
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows.append({"path": SMALL_FILM, "split": "test", "label": "Normal", "source": "source0", "patient_or_group_id": "small"})
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, [*rows[0], "licence", "noncommercial"])
        writer.writeheader()
        for row in rows:
            licence, noncommercial = LICENCES[row["source"]]
            writer.writerow({**row, "licence": licence, "noncommercial": noncommercial})
    return root


@pytest.fixture(scope="session")
def trained_bundle(bundle_path: Path, licensed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared bundle, as if it had been trained on `licensed_data`."""
    own = tmp_path_factory.mktemp("own") / bundle_path.name
    shutil.copytree(bundle_path, own)
    manifest = json.loads((own / MANIFEST_NAME).read_text())
    manifest["data_fingerprint"] = folder_fingerprint(scan_folder(licensed_data), threads=1)
    (own / MANIFEST_NAME).write_text(json.dumps(manifest))
    return own


@pytest.fixture(scope="session")
def trained_manifest(trained_bundle):
    return ModelBundle.open(trained_bundle).manifest


@pytest.fixture(scope="session")
def core_options() -> list[str]:
    return ["--resamples", "100", "--parts", ",".join(CORE_PARTS)]


@pytest.fixture(scope="session")
def evaluated(trained_bundle, licensed_data, core_options, tmp_path_factory) -> Path:
    """The results of an evaluation with CORE_PARTS."""
    out = tmp_path_factory.mktemp("reports") / "run"
    command = ["evaluate", str(trained_bundle), "--data", str(licensed_data), "--out", str(out), *core_options]
    assert main([*command, "--threads", "2"]) == 0
    return out


@pytest.fixture
def metrics(evaluated: Path) -> dict:
    return json.loads((evaluated / "metrics.json").read_text())


@pytest.fixture(scope="session")
def predictions(evaluated) -> list[dict[str, str]]:
    with (evaluated / "predictions.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
