"""The model card: what it states of a bundle, its data and its limits, and what it does not."""

import copy

import pytest

from service.model.manifest import MODEL_CARD_NAME
from training.evaluation.parts.table import PARTS
from training.evaluation.report.card import render_model_card


@pytest.fixture
def card_of(trained_manifest, metrics):
    """card_of(training_config, name=value …) -> the card, with these top-level values of metrics.json changed."""

    def render(training_config: dict | None = None, **changed) -> str:
        config = trained_manifest.training_config if training_config is None else training_config
        manifest = trained_manifest.model_copy(update={"training_config": config})
        return render_model_card(manifest, {**metrics, **changed}, [part for part in PARTS if part.name not in changed])

    return render


def test_the_card_forbids_clinical_use_and_names_the_films_that_bind_the_licence(evaluated, metrics):
    card = (evaluated / MODEL_CARD_NAME).read_text()
    assert card.startswith("# Model card: chest-xray 1.0.0\n")
    assert "For research only. Not a medical device" in card
    assert "research use only, because part of the training data is non-commercial (source1)" in card
    assert metrics["command"] in card
    assert metrics["bundle"]["model_sha256"] in card
    low, high = metrics["headline"]["interval_95"]["accuracy"]
    assert f"{metrics['headline']['accuracy']:.3f} ({low:.3f} to {high:.3f})" in card


def test_the_card_states_only_the_limits_and_licences_of_the_data_at_hand(card_of):
    assert "shenzhen" not in card_of()
    assert "not independent" not in card_of()
    counts = {"Tuberculosis": {"train": 5, "val": 1, "test": 1}}
    collection = {"dataset": {"TBX11K": 7}, "licence": {"NC": 7}, "noncommercial": {"no": 7}, "counts": counts}
    free = {**collection, "dataset": {"not stated": 7}}
    card = card_of(data={"tbx11k": collection, "free": free})
    assert "tbx11k (Tuberculosis) and free (Tuberculosis) hold one class only" in card
    assert "Patients are unknown, and films of one patient may stand in two splits" in card
    assert "No film of the training data is marked non-commercial" in card
    assert "for research use only, because" not in card
    unclear = {**free, "noncommercial": {"unclear": 4, "no": 3}}
    assert "part of the training data is of unclear status (free)" in card_of(data={"tbx11k": collection, "free": unclear})


def test_a_licence_binds_through_training_films_only(metrics, card_of):
    data = copy.deepcopy(metrics["data"])
    for counts in data["source1"]["counts"].values():
        counts["train"] = 0
    assert "is marked non-commercial" in card_of(data=data)


def test_the_card_of_a_bundle_that_went_on_from_another_names_it_and_hands_its_terms_on(card_of):
    card = card_of({"model": {"weights": "bundle", "weights_file": "models/chest-xray-0.9.0"}})
    assert "Training went on from chest-xray-0.9.0, backbone and head" in card
    assert "The terms of chest-xray-0.9.0, from which training went on, hold for these weights too." in card


def test_the_card_says_which_source_the_model_has_never_seen(card_of):
    assert "Films of clinic A took part in none of this" in card_of({"data": {"held_out_source": "clinic A"}})
    assert "took part in none of this" not in card_of()


def test_the_card_of_another_hospitals_films_claims_nothing_of_what_the_model_learnt_from(card_of):
    card = card_of(trained_on_this_folder=False)
    assert "not those of the folder that the model was trained on" in card
    for claim in ("Licence of the weights", "fitted to the train split", "the test split has the same sources"):
        assert claim not in card


def test_the_card_says_whether_other_pictures_are_flagged(card_of):
    assert "flagged for review" not in card_of().partition("## Data")[0]
    card = card_of(outliers={"not_chest": {"n": 40, "flagged": {"anything": 0.1}}})
    assert "Of 40 pictures that are no chest film 10% were flagged for review; films of other diseases were not tried." in card
