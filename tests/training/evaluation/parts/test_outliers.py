"""What the service flags of films, other pictures and spoilt films."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from export.phantom import phantom_film
from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.findings import Finding
from service.model.observer import Observer
from tests.support.training.phantom_evidence import phantom_evidence
from training.errors import DatasetError
from training.evaluation.evidence import Evidence
from training.evaluation.parts.outliers.part import PART
from training.evaluation.parts.outliers.pictures import ANYTHING, FAULTS, REFUSED, SCORE

SMALL_FILM = "test/Normal/small.png"


def write_picture(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture(scope="module")
def not_chest(tmp_path_factory) -> Path:
    """Coloured noise, stripes, a blank picture, and two files that the service refuses."""
    folder = tmp_path_factory.mktemp("not_chest")
    rng = np.random.default_rng(0)
    write_picture(folder / "noise.png", rng.integers(0, 256, (150, 150, 3), dtype=np.uint8))
    write_picture(folder / "stripes.png", np.tile(np.array([0, 255], np.uint8).repeat(10), (160, 8)))
    write_picture(folder / "blank.png", np.full((150, 150), 120, np.uint8))
    write_picture(folder / "tiny.png", np.zeros((20, 20), np.uint8))
    (folder / "text.txt").write_text("not an image")
    kinds = {"noise.png": "photo", "stripes.png": "chart", "blank.png": "chart", "tiny.png": "photo", "text.txt": "text"}
    lines = ["path,kind,source", *(f"{name},{kind},made" for name, kind in kinds.items())]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def evidence(bundle, phantom_dataset, not_chest, tmp_path_factory) -> Evidence:
    data = phantom_dataset(films_per_class={"train": 1, "val": 1, "test": 4}, manifest=False)
    write_picture(data / SMALL_FILM, phantom_film(Finding.NORMAL, 1, 64))
    return replace(phantom_evidence(bundle, data, tmp_path_factory.mktemp("local")), not_chest=not_chest)


@pytest.fixture(scope="module")
def measured(evidence) -> dict:
    return PART.measure(evidence)


def test_values_are_plain_json(measured):
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_films_are_counted_by_class_and_source_and_refused_ones_among_them(measured):
    chest = measured["chest"]
    assert chest["n"] == 13
    assert {name: each["n"] for name, each in chest["per_class"].items()} == {"Normal": 5, "Pneumonia": 4, "Tuberculosis": 4}
    assert {name: each["n"] for name, each in chest["per_source"].items()} == {"unknown": 13}
    assert chest["refused"] == {SMALL_FILM: "ImageTooSmall"}
    assert chest["flagged"][REFUSED] == pytest.approx(1 / 13, abs=1e-6)
    assert chest["per_class"]["Normal"]["flagged"][REFUSED] == pytest.approx(1 / 5)


def test_other_pictures_are_counted_by_kind_and_by_what_flags_them(measured):
    other = measured["not_chest"]
    assert other["n"] == 5
    assert {kind: each["n"] for kind, each in other["per_kind"].items()} == {"chart": 2, "photo": 2, "text": 1}
    assert other["refused"] == {"tiny.png": "ImageTooSmall", "text.txt": "UnsupportedFormat"}
    assert other["flagged"]["chroma"] == pytest.approx(1 / 5)
    assert other["per_kind"]["photo"]["flagged"]["chroma"] == pytest.approx(1 / 2)
    assert other["per_kind"]["chart"]["flagged"]["contrast"] == pytest.approx(1 / 2)
    assert other["per_kind"]["text"]["flagged"] == {name: float(name in (REFUSED, ANYTHING)) for name in other["flagged"]}
    assert other["flagged"][ANYTHING] == 1 and other["missed"] == []


def test_shares_of_the_score_are_those_of_the_services_observer(measured, evidence):
    threshold = evidence.bundle.manifest.outliers.threshold
    scores = [judged.observed.outlier_score for judged in evidence.judged().judged]
    assert measured["chest"]["flagged"][SCORE] == pytest.approx(np.sum(np.array(scores) > threshold) / 13, abs=1e-6)


def test_a_refused_picture_counts_as_further_out_than_any_other(measured, evidence, not_chest):
    films = [judged.observed.outlier_score for judged in evidence.judged().judged]
    observer, spec = Observer.from_bundle(evidence.bundle), evidence.bundle.manifest.preprocess
    others = []
    for name in ("noise.png", "stripes.png", "blank.png"):
        film = decode((not_chest / name).read_bytes(), spec)
        image = to_model_input(film, spec)
        embedding = evidence.predictor.predict(image[None], ("embedding",))["embedding"][0]
        others.append(observer.observe(film, image, embedding).outlier_score)
    scores = [*films, 1e6, *others, 1e6, 1e6]
    truth = [False] * 13 + [True] * 5
    assert measured["not_chest"]["auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-5)


def test_every_fault_is_tried_on_every_usable_film_and_told_by_what_stands_for_it(measured):
    assert list(measured["spoilt"]) == list(FAULTS)
    assert all(each["n"] == 12 for each in measured["spoilt"].values())
    assert measured["spoilt"]["inverted"]["flagged"]["resemblance"] == 1
    assert measured["spoilt"]["blanked"]["flagged"]["contrast"] == 1
    assert measured["spoilt"]["tinted"]["flagged"]["chroma"] == 1
    assert measured["spoilt"]["rotated by 90 degrees"]["flagged"]["chroma"] == 0
    assert all(measured["spoilt"][fault]["flagged"][ANYTHING] == 1 for fault in ("inverted", "blanked", "tinted"))


def test_the_description_names_shares_kinds_faults_and_refusals(measured):
    text = PART.describe(measured)
    for part in (
        "Of 13 chest films",
        "Of 5 other pictures 100.0 %",
        "- photo",
        "inverted",
        "text.txt: UnsupportedFormat",
    ):
        assert part in text
    assert SMALL_FILM in text


def test_without_other_pictures_films_are_measured_alone(evidence, measured):
    alone = PART.measure(replace(evidence, not_chest=None))
    assert alone["not_chest"] is None
    assert alone["chest"] == measured["chest"] and alone["spoilt"] == measured["spoilt"]
    assert "no other pictures" in PART.describe(alone)


def test_of_a_bundle_without_statistics_it_says_so(evidence):
    bundle = evidence.bundle
    older = ModelBundle(bundle.path, bundle.manifest.model_copy(update={"outliers": None}))
    measured = PART.measure(replace(evidence, bundle=older))
    assert measured == {"available": False}
    assert "holds no statistics of its training films" in PART.describe(measured)
    assert "Nothing tells films from other pictures" in PART.limits(measured)[0]


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("path,kind\n", "a path and a kind"),
        ("path,source\nnoise.png,made\n", "a path and a kind"),
        ("path,kind\nabsent.png,photo\n", "names absent.png"),
        (None, "cannot be read"),
    ],
)
def test_a_folder_of_pictures_that_does_not_say_what_they_are_is_refused(evidence, not_chest, tmp_path, manifest, complaint):
    folder = shutil.copytree(not_chest, tmp_path / "pictures")
    (folder / "manifest.csv").unlink()
    if manifest is not None:
        (folder / "manifest.csv").write_text(manifest)
    with pytest.raises(DatasetError, match=complaint):
        PART.measure(replace(evidence, not_chest=folder))
