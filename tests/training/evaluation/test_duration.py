"""The time that an evaluation announces."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from service.model.predictor import Predictor
from training.data.folder import scan_folder
from training.evaluation.duration import announce
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.parts.table import LONG, PARTS, QUICK, select_parts

BY_NAME = {part.name: part for part in PARTS}


@pytest.fixture(scope="module")
def evidence(bundle, phantom_dataset):
    films = scan_folder(phantom_dataset(films_per_class={"train": 2, "val": 2, "test": 8}))
    bootstrap = Bootstrap(resamples=1000, seed=0)
    return Evidence(bundle, Predictor.from_bundle(bundle), films, "test", 2, bootstrap, local=Path("nowhere"))


def test_each_part_that_was_asked_for_is_announced_with_its_time(evidence):
    said = announce(evidence, PARTS, LONG)
    assert re.match(r"This takes about \d+ (s|min) on this machine: judging 24 films \d+ s, calibration \d+ s, ", said)
    assert [name for name in BY_NAME if not re.search(rf"\b{name} \d+ (s|min)", said)] == []
    assert re.search(r"Without shortcuts, attention, robustness \(--parts quick\) about \d+ s\.$", said)


def test_what_was_not_asked_for_is_not_announced(evidence):
    said = announce(evidence, [BY_NAME["calibration"]], LONG)
    assert "robustness" not in said and QUICK not in said


def test_the_short_form_leaves_out_what_takes_longest_and_keeps_what_a_bundle_needs():
    quick = select_parts(QUICK)
    assert set(PARTS) - set(quick) == set(LONG)
    assert {"calibration", "operating_points", "prediction_sets"} <= {part.name for part in quick}  # `cxr registry attach`


def test_long_parts_are_long(evidence):
    """On a test split of 975 films, the released one's size, the three take most of the time."""
    many = replace(evidence, films=evidence.films * 50)
    films = {part.name: part.cost(many) for part in PARTS}
    assert sum(films[part.name] for part in LONG) > 0.8 * sum(films.values())


def test_films_that_cannot_be_judged_leave_the_time_open(evidence, tmp_path):
    path = tmp_path / "test" / "Normal" / "empty.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    films = scan_folder(tmp_path, required=("test",))
    assert "cannot be told" in announce(replace(evidence, films=films), PARTS, LONG)
