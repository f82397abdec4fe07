"""The shortcut audit on constructed signals, and the whole part on phantoms."""

import json
from dataclasses import replace

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import FINDINGS, Finding
from tests.support.phantom_evidence import NoLungs, PhantomLungs, phantom_evidence
from training.evaluation.measures.border_probe import SIDE_PX, class_from_border
from training.evaluation.measures.masking import (
    BORDER_ONLY,
    LUNGS_HIDDEN,
    LUNGS_ONLY,
    OUTLINE_ALONE,
    VARIANTS,
    border,
    masked_films,
    with_lungs_of,
    with_margin,
)
from training.evaluation.measures.metrics import Judgements
from training.evaluation.measures.source_probes import Embedded, leave_one_source_out, source_within_class
from training.evaluation.measures.within_source import source_pairs, within_source_auc
from training.evaluation.parts import shortcuts
from training.evaluation.parts.shortcuts import (
    EXAMPLES_NAME,
    MASKED_NAME,
    PART,
    UNSEEN_NAME,
    describe_shortcuts,
    measure_shortcuts,
)

SOURCES = ("clinic", "hospital", "ward")


def embedded(seed: int, of_class: float, of_source: float, films: int = 20) -> Embedded:
    """`films` of each class of each source: noise, and as strong a signal of class and of source as stated, apart."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(3), films), len(SOURCES))
    source = np.repeat(np.arange(len(SOURCES)), 3 * films)
    signal = np.hstack([of_class * np.eye(3)[labels], of_source * np.eye(3)[source], np.zeros((len(labels), 4))])
    values = (signal + rng.normal(0, 1, signal.shape)).astype(np.float32)
    return Embedded(values, labels, np.array(SOURCES)[source], tuple(map(str, range(len(labels)))))


def confounded(seed: int) -> Embedded:
    """The embedding knows the source alone; Normal comes from the clinic, Pneumonia from the hospital, from the ward both."""
    films = embedded(seed, of_class=0.0, of_source=8.0)
    kept = [
        (source, label) in {("clinic", 0), ("hospital", 1), ("ward", 0), ("ward", 1)}
        for source, label in zip(films.sources, films.labels, strict=True)
    ]
    groups = tuple(group for group, keep in zip(films.groups, kept, strict=True) if keep)
    return Embedded(films.embeddings[kept], films.labels[kept], films.sources[kept], groups)


def test_a_class_signal_holds_in_sources_left_out():
    measured = leave_one_source_out(embedded(0, 12.0, 0.0), embedded(1, 12.0, 0.0), seed=0, resamples=40)
    assert measured["mean_recall"] == measured["mean_recall_source_known"] == 1.0
    assert measured["per_source"]["ward"]["auc"]["Tuberculosis vs Pneumonia"] == 1.0
    assert measured["per_source"]["ward"]["support"] == {finding.value: 20 for finding in FINDINGS}


def signs_of_their_own(seed: int) -> Embedded:
    """The class stands in each source at a place of its own, so that what one source teaches is worth nothing in another."""
    films = embedded(seed, of_class=0.0, of_source=0.0)
    source = np.array([SOURCES.index(name) for name in films.sources])
    signs = 12.0 * np.eye(3 * len(SOURCES))[3 * source + films.labels]
    return Embedded(np.hstack([films.embeddings, signs]).astype(np.float32), films.labels, films.sources, films.groups)


def test_signs_that_only_one_source_has_are_worth_nothing_in_a_source_left_out():
    measured = leave_one_source_out(signs_of_their_own(0), signs_of_their_own(1), seed=0, resamples=40)
    assert measured["mean_recall_source_known"] == 1.0
    assert measured["mean_recall"] == pytest.approx(1 / 3, abs=0.1)
    low, high = measured["interval_95"]["mean_recall"]
    assert low <= measured["mean_recall"] <= high
    areas = [area for each in measured["per_source"].values() for name, area in each["auc"].items() if name != "interval_95"]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.1)


def test_a_class_that_no_other_source_holds_is_left_out():
    films = [embedded(seed, 12.0, 0.0) for seed in (0, 1)]
    only_ward = [
        Embedded(each.embeddings[kept], each.labels[kept], each.sources[kept], tuple(np.array(each.groups)[kept]))
        for each in films
        for kept in [(each.labels != 2) | (each.sources == "ward")]
    ]
    measured = leave_one_source_out(*only_ward, seed=0, resamples=20)
    assert set(measured["per_source"]["ward"]["support"]) == {"Normal", "Pneumonia"}
    assert set(measured["per_source"]["clinic"]["support"]) == {"Normal", "Pneumonia"}
    assert set(measured["per_source"]["ward"]["auc"]) == {"Pneumonia vs Normal", "interval_95"}, "it has no score for others"


def test_a_probe_that_knows_the_source_chooses_among_the_same_classes():
    """Without a trace of the source and with a class of one source only, knowing the source is worth nothing."""
    rng = np.random.default_rng(0)

    def films(count: int) -> Embedded:
        labels, sources = np.tile([0, 1, 0, 1, 2], count), np.tile(["clinic", "clinic", "ward", "ward", "ward"], count)
        embeddings = (2.0 * np.eye(6)[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32)
        return Embedded(embeddings, labels, sources, tuple(map(str, range(len(labels)))))

    measured = leave_one_source_out(films(400), films(400), seed=0, resamples=40)
    low, high = measured["interval_95"]["mean_loss"]
    assert low < 0.02
    assert -0.02 < measured["mean_loss"] < 0.02
    assert low <= measured["mean_loss"] <= high


def test_films_of_one_source_leave_nothing_out():
    films = embedded(0, 12.0, 0.0)
    alone = films.sources == "ward"
    one = Embedded(films.embeddings[alone], films.labels[alone], films.sources[alone], tuple(np.array(films.groups)[alone]))
    assert leave_one_source_out(one, one, seed=0, resamples=20) is None


def test_the_source_is_found_where_it_is_and_not_where_it_is_not():
    strong = source_within_class(embedded(0, 0.0, 12.0), embedded(1, 0.0, 12.0))
    weak = source_within_class(embedded(0, 12.0, 0.0), embedded(1, 12.0, 0.0))
    for finding in FINDINGS:
        assert strong[finding.value]["balanced_accuracy"] == 1.0
        assert strong[finding.value]["chance"] == pytest.approx(1 / 3, abs=1e-6)
        assert weak[finding.value]["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.2)


def test_a_class_of_one_source_has_no_source_to_tell():
    measured = source_within_class(confounded(0), confounded(1))
    assert measured["Normal"]["sources"] == ["clinic", "ward"]
    assert "Tuberculosis" not in measured


def test_pairs_are_the_classes_that_a_source_holds():
    labels, sources = np.array([0, 2, 1, 1, 2]), ["a", "a", "b", "b", "c"]
    assert list(source_pairs(labels, sources)) == [("a", 0, 2)]
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [1, 0, 0], [1, 0, 0], [1, 0, 0.0]])
    areas = within_source_auc(labels, probabilities, sources, np.ones((1, 5)))
    assert {key: area.tolist() for key, area in areas.items()} == {("a", "Tuberculosis vs Normal"): [1.0]}


FILM = phantom_film(Finding.TUBERCULOSIS, seed=5, size_px=200)[:, :160]
LUNGS = PhantomLungs().outline(FILM)


def variants(film: np.ndarray) -> dict[str, np.ndarray]:
    return masked_films(film, LUNGS, np.random.default_rng(0))


def test_every_variant_has_the_films_shape_and_type():
    made = variants(FILM)
    assert tuple(made) == VARIANTS
    assert {(each.dtype, each.shape) for each in made.values()} == {(np.dtype(np.uint8), FILM.shape)}


@pytest.mark.parametrize("name", [*LUNGS_HIDDEN, BORDER_ONLY, OUTLINE_ALONE])
def test_nothing_of_the_lungs_is_left_where_they_are_hidden(name):
    other = FILM.copy()
    other[LUNGS] = np.random.default_rng(1).permutation(other[LUNGS])  # the same tones elsewhere, so the same mean
    np.testing.assert_array_equal(variants(FILM)[name], variants(other)[name])


def test_what_is_not_hidden_stays():
    made = variants(FILM)
    far = ~LUNGS
    for name in LUNGS_HIDDEN:
        changed = made[name] != FILM
        assert changed[LUNGS].mean() > 0.9
        assert (changed & far).mean() < 0.12  # the margin
    ring = border(FILM.shape)
    np.testing.assert_array_equal(made[BORDER_ONLY][ring], FILM[ring])
    np.testing.assert_array_equal(made[LUNGS_ONLY][LUNGS], FILM[LUNGS])
    assert len(np.unique(made[LUNGS_ONLY][ring & ~with_margin(LUNGS)])) == 1


def test_inpainting_joins_the_hole_to_its_surroundings():
    even = np.full((128, 128), 90, np.uint8)
    lungs = PhantomLungs().outline(even)
    holed = np.where(lungs, np.uint8(255), even)
    np.testing.assert_allclose(masked_films(holed, lungs, np.random.default_rng(0))["lungs inpainted"], 90, atol=1)


def test_border_is_as_wide_as_stated():
    assert (~border((100, 50))).sum() == 76 * 38
    assert border((SIDE_PX, SIDE_PX)).sum() == 32 * 32 - 24 * 24


def test_exchanged_lungs_lie_where_the_others_lay():
    film, donor = np.full((100, 80), 50, np.uint8), np.full((120, 120), 100, np.uint8)
    lungs, donor_lungs = np.zeros(film.shape, bool), np.zeros(donor.shape, bool)
    lungs[20:80, 10:70] = True
    donor_lungs[30:60, 30:90] = True
    donor[30:60, 30:60], donor[30:60, 60:90] = 150, 200
    exchanged = with_lungs_of(film, lungs, donor, donor_lungs)
    assert (exchanged[22:78, 12:38] == 150).all()
    assert (exchanged[22:78, 42:68] == 200).all()
    assert (exchanged[:15] == 50).all()


def test_a_class_written_on_the_border_is_read_from_it():
    rng = np.random.default_rng(0)

    def rings(labels, strength):
        values = rng.normal(100, 5, (len(labels), 448)).astype(np.float32)
        values[:, :20] += strength * labels[:, None]
        return values

    def judgements(labels):
        sources = tuple("one" if index % 2 else "two" for index in range(len(labels)))
        return Judgements(labels, np.full((len(labels), 3), 1 / 3), sources, tuple(map(str, range(len(labels)))))

    fitted, judged = judgements(np.arange(120) % 3), judgements(np.arange(60) % 3)
    for strength, expected in ((20.0, 1.0), (0.0, 0.5)):
        values = class_from_border(
            rings(fitted.labels, strength), fitted, rings(judged.labels, strength), judged, seed=0, resamples=20
        )
        assert values["macro_auc"] == pytest.approx(expected, abs=0.15)
        assert values["within_source_own"]["one"]["Tuberculosis vs Normal"] == pytest.approx(expected, abs=0.3)


def test_a_border_tells_nothing_where_there_is_one_class():
    def judgements(labels):
        return Judgements(labels, np.full((len(labels), 3), 1 / 3), ("one",) * len(labels), tuple(map(str, range(len(labels)))))

    rings = np.zeros((30, 8), np.float32)
    both, one = judgements(np.arange(30) % 2), judgements(np.full(30, 2))
    assert class_from_border(rings, both, rings, one, seed=0, resamples=20) is None
    assert class_from_border(rings, one, rings, both, seed=0, resamples=20) is None


@pytest.mark.slow
def test_films_of_one_class_leave_the_audit_something_to_say(bundle, phantom_dataset, tmp_path):
    data = phantom_dataset(films_per_class={"train": 2, "val": 1, "test": 2}, manifest=True)
    for finding in ("Normal", "Pneumonia"):
        for film in (data / "test" / finding).iterdir():
            film.unlink()
    (data / "manifest.csv").unlink()
    values = json.loads(json.dumps(measure_shortcuts(phantom_evidence(bundle, data, tmp_path / "local", PhantomLungs()))))
    assert values["border"] is values["masked"] is None
    assert "two classes, in the train split too" in describe_shortcuts(values)


@pytest.mark.slow
def test_a_source_that_was_held_out_is_no_reference_either(bundle, export_data, tmp_path):
    config = {"data": {"held_out_source": "source0"}}
    unseen = replace(bundle, manifest=bundle.manifest.model_copy(update={"training_config": config}))
    evidence = phantom_evidence(unseen, export_data, tmp_path / "local")
    assert {each.film.source for each in evidence.judged("train").judged} == {"source1"}
    assert {each.film.source for each in evidence.judged().judged} == {"source0", "source1"}
    assert "with every source but source0" in describe_shortcuts(measure_shortcuts(evidence))


@pytest.mark.parametrize(
    ("lungs", "verdict"),
    [([0.8, 0.9], "the lungs weigh more"), ([0.3, 0.4], "the surroundings weigh more"), ([0.5, 0.9], "cannot be told")],
)
def test_what_weighs_more_is_said_only_where_intervals_part(lungs, verdict):
    values = {
        "variants": {"lungs exchanged": {"interval_95": {"macro_auc": [0.5, 0.6]}}},
        "interval_95": {"exchanged_lungs_macro_auc": lungs},
    }
    assert verdict in shortcuts._heavier(values)


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
    assert set(measured["within_source"]) == {"source0", "source1"}
    assert [path.name for path in local.iterdir()] == [EXAMPLES_NAME]


@pytest.mark.slow
def test_report_and_pictures_come_from_the_values_alone(measured, tmp_path):
    values = json.loads(json.dumps(measured))
    PART.draw(values, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {UNSEEN_NAME, MASKED_NAME}
    text = describe_shortcuts(values)
    for heading in ("Within one source", "A source left out", "Parts of the film hidden", "The border alone"):
        assert f"### {heading}\n" in text
    assert len(PART.limits(values)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("lungs", [None, NoLungs()])
def test_without_sources_and_lungs_the_audit_says_what_it_could_not_measure(bundle, phantom_dataset, tmp_path, lungs):
    data = phantom_dataset(films_per_class={"train": 3, "val": 2, "test": 2}, manifest=False)
    values = json.loads(json.dumps(measure_shortcuts(phantom_evidence(bundle, data, tmp_path / "local", lungs))))
    assert values["leave_one_source_out"] is values["masked"] is None
    PART.draw(values, tmp_path / "figures")
    text = describe_shortcuts(values)
    assert text.count("Not measured") == 3
    assert PART.limits(values) == []
