"""The shortcut audit on phantoms."""

import json
from dataclasses import replace

import pytest

from tests.support.training.phantom_evidence import NoLungs, PhantomLungs, phantom_evidence
from training.evaluation.judging.masking import VARIANTS
from training.evaluation.parts.shortcuts import masked
from training.evaluation.parts.shortcuts.part import PART, measure_shortcuts


@pytest.mark.slow
def test_films_of_one_class_leave_the_audit_something_to_say(bundle, phantom_dataset, tmp_path):
    data = phantom_dataset(films_per_class={"train": 2, "val": 1, "test": 2}, manifest=True)
    for finding in ("Normal", "Pneumonia"):
        for film in (data / "test" / finding).iterdir():
            film.unlink()
    (data / "manifest.csv").unlink()
    values = json.loads(json.dumps(measure_shortcuts(phantom_evidence(bundle, data, tmp_path / "local", PhantomLungs()))))
    assert values["masked"] is None
    assert "lungs found in films of two classes" in PART.describe(values)


@pytest.mark.slow
def test_a_source_that_was_held_out_is_no_reference_either(bundle, export_data, tmp_path):
    config = {"data": {"held_out_source": "source0"}}
    unseen = replace(bundle, manifest=bundle.manifest.model_copy(update={"training_config": config}))
    evidence = phantom_evidence(unseen, export_data, tmp_path / "local")
    assert {each.film.source for each in evidence.judged("train").judged} == {"source1"}
    assert {each.film.source for each in evidence.judged().judged} == {"source0", "source1"}
    assert "with every source but source0" in PART.describe(measure_shortcuts(evidence))


@pytest.mark.slow
def test_training_films_of_the_held_out_source_alone_leave_nothing_to_fit_a_probe_on(bundle, export_data, tmp_path):
    config = {"data": {"held_out_source": "source0"}}
    unseen = replace(bundle, manifest=bundle.manifest.model_copy(update={"training_config": config}))
    evidence = phantom_evidence(unseen, export_data, tmp_path / "local")
    evidence.films = tuple(film for film in evidence.films if film.source == "source0")
    assert not evidence.holds("train")
    values = measure_shortcuts(evidence)
    assert values["leave_one_source_out"] is values["source_within_class"] is None


@pytest.mark.parametrize(
    ("lungs", "verdict"),
    [([0.8, 0.9], "the lungs weigh more"), ([0.3, 0.4], "the surroundings weigh more"), ([0.5, 0.9], "cannot be told")],
)
def test_what_weighs_more_is_said_only_where_intervals_part(lungs, verdict):
    values = {
        "variants": {"lungs exchanged": {"interval_95": {"macro_auc": [0.5, 0.6]}}},
        "interval_95": {"exchanged_lungs_macro_auc": lungs},
    }
    assert verdict in masked._heavier(values)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def measured(bundle, export_data, local):
    return measure_shortcuts(phantom_evidence(bundle, export_data, local, PhantomLungs()))


@pytest.mark.slow
def test_the_audit_answers_every_question_and_keeps_films_local(measured, local):
    json.dumps(measured, allow_nan=False)
    assert None not in measured.values()
    assert measured["held_out_source"] == ""
    assert (measured["masked"]["films"], measured["masked"]["left_out"]) == (12, 0)
    assert set(measured["masked"]["variants"]) == {"whole film", *VARIANTS, "lungs exchanged"}
    assert measured["leave_one_source_out"]["fitted_films"] == 24
    assert [path.name for path in local.iterdir()] == [masked.FILE_NAME]


@pytest.mark.slow
def test_report_and_plots_come_from_the_values_alone(measured, tmp_path):
    values = json.loads(json.dumps(measured))
    PART.draw(values, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {masked.FILE_NAME}
    text = PART.describe(values)
    for heading in ("A source left out", "Parts of the film hidden", "The source within a class"):
        assert f"### {heading}\n" in text
    assert len(PART.limits(values)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("lungs", [None, NoLungs()])
def test_without_sources_and_lungs_the_audit_says_what_it_could_not_measure(bundle, phantom_dataset, tmp_path, lungs):
    data = phantom_dataset(films_per_class={"train": 3, "val": 2, "test": 2}, manifest=False)
    values = json.loads(json.dumps(measure_shortcuts(phantom_evidence(bundle, data, tmp_path / "local", lungs))))
    assert values["leave_one_source_out"] is values["masked"] is None
    PART.draw(values, tmp_path / "figures")
    text = PART.describe(values)
    assert text.count("Not measured") == 3
    assert PART.limits(values) == []
