"""The robustness part on phantoms."""

import json
from dataclasses import replace

import pytest

from tests.support.training.phantom_evidence import phantom_evidence
from training.evaluation.judging.corruptions import CORRUPTIONS
from training.evaluation.parts.robustness import PART, PLOT_NAME, measure_robustness


@pytest.fixture(scope="module")
def measured(bundle, export_data, tmp_path_factory):
    evidence = phantom_evidence(bundle, export_data, tmp_path_factory.mktemp("local"))
    return measure_robustness(evidence, films=6, attacked_films=3, epsilons=(1, 8))


@pytest.mark.slow
def test_every_corruption_and_attack_is_measured_on_the_stated_subset(measured):
    json.dumps(measured, allow_nan=False)
    corruptions, attacks = measured["corruptions"], measured["attacks"]
    assert (corruptions["films"], attacks["films"]) == (6, 3)
    assert set(corruptions["kinds"]) == {corruption.name for corruption in CORRUPTIONS}
    assert all(len(each["levels"]) == 5 for each in corruptions["kinds"].values())
    assert {name: len(levels) for name, levels in attacks["kinds"].items()} == {"noise": 2, "FGSM": 2, "PGD": 2}


@pytest.mark.slow
def test_report_and_plots_come_from_the_values_alone(measured, tmp_path):
    values = json.loads(json.dumps(measured))
    PART.draw(values, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {PLOT_NAME}
    text = PART.describe(values)
    assert "6 films of the split" in text
    assert "| occlusion (% of the area, a black box)" in text
    assert f"figures/{PLOT_NAME}" in text
    assert "1 of 255 grey levels" in PART.limits(values)[0]


@pytest.mark.slow
def test_without_a_network_in_pytorch_damage_alone_is_measured(bundle, export_data, measured, tmp_path):
    other = replace(bundle, manifest=bundle.manifest.model_copy(update={"architecture": "resnet18"}))
    assert phantom_evidence(other, export_data, tmp_path).network() is None
    values = measured | {"attacks": None}
    assert "Not measured: the network's weights cannot be recovered" in PART.describe(values)
    assert PART.limits(values) == []
