import numpy as np
import pytest
from pydantic import ValidationError

from service.model.drift_reference import (
    COMPONENT_FEATURES,
    NUMERIC_FEATURES,
    DriftReference,
    NumericReference,
    component_values,
    film_statistics,
)
from service.model.findings import FINDINGS, Finding


def reference(further: tuple[str, ...] = ()) -> DriftReference:
    values = np.random.default_rng(0).random(200)
    return DriftReference(
        numeric={name: NumericReference.from_values(values) for name in (*NUMERIC_FEATURES, *further)},
        predicted_class={Finding.NORMAL: 0.5, Finding.PNEUMONIA: 0.3, Finding.TUBERCULOSIS: 0.2},
    )


def test_counting_the_reference_films_again_gives_the_reference_shares() -> None:
    values = np.random.default_rng(1).normal(size=997)
    numeric = NumericReference.from_values(values)
    counts = np.bincount([numeric.bin_of(value) for value in values], minlength=len(numeric.shares))
    assert counts / len(values) == pytest.approx(numeric.shares)
    assert len(numeric.shares) == 10 and min(numeric.shares) == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(
    ("values", "bins"),
    [
        ([1.0] * 60 + [1.2] * 30 + [0.8] * 10, 3),  # most films square
        ([1.0] * 50, 1),
        ([0.5], 1),
        ([1.0, 2.0], 2),
    ],
)
def test_repeated_values_make_fewer_bins_and_never_an_empty_one(values: list[float], bins: int) -> None:
    numeric = NumericReference.from_values(np.array(values))
    assert len(numeric.shares) == bins
    assert min(numeric.shares) > 0 and sum(numeric.shares) == pytest.approx(1)


def test_values_never_seen_fall_into_the_outer_bins_and_out_of_range() -> None:
    numeric = NumericReference.from_values(np.linspace(1, 2, 100))
    assert (numeric.bin_of(-5), numeric.bin_of(99)) == (0, 9)
    assert numeric.in_range(1) and numeric.in_range(2) and not numeric.in_range(2.1) and not numeric.in_range(0.9)


def test_film_statistics_of_known_pictures() -> None:
    flat = film_statistics(np.full((8, 8), 100, np.uint8), 3000, 1000)
    assert flat == pytest.approx({"mean": 100, "contrast": 0, "sharpness": 0, "aspect_ratio": 3, "resolution": np.log10(3e6)})
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    sharp = film_statistics(board, 8, 8)
    assert sharp["contrast"] == pytest.approx(127.5)
    assert sharp["sharpness"] == pytest.approx((4 * 255) ** 2)


def test_every_published_share_belongs_to_a_feature_whose_films_are_published_too() -> None:
    drift = reference(COMPONENT_FEATURES)
    assert {feature for feature, _, _ in drift.shares()} == set(drift.films())
    assert set(drift.films()) == {*NUMERIC_FEATURES, *COMPONENT_FEATURES, "predicted_class"}
    assert set(drift.films().values()) == {200}


def test_a_reference_has_all_components_or_none() -> None:
    assert reference().components == 0 and reference(COMPONENT_FEATURES).components == len(COMPONENT_FEATURES)
    with pytest.raises(ValidationError, match="none of the components"):
        reference(COMPONENT_FEATURES[:2])


def test_component_values_are_coordinates_of_the_embeddings_direction() -> None:
    components = np.linalg.qr(np.random.default_rng(2).normal(size=(9, 6)))[0].T.astype(np.float32)
    embedding = 7 * components[1] + 7 * components[5]
    values = component_values(embedding, components)
    assert list(values) == list(COMPONENT_FEATURES)
    assert list(values.values()) == pytest.approx([0, np.sqrt(0.5), 0, 0], abs=1e-6)
    assert component_values(np.zeros(9, np.float32), components)["component_1"] == 0


def test_the_reference_survives_its_file() -> None:
    drift = reference()
    assert DriftReference.model_validate_json(drift.model_dump_json()) == drift


@pytest.mark.parametrize(
    "change",
    [
        {"edges": (2.0, 1.0)},
        {"edges": (1.0,)},
        {"shares": (0.5, 0.5, 0.5)},
        {"shares": (0.0, 0.5, 0.5)},
        {"films": 0},
        {"surprise": 1},
    ],
)
def test_bins_that_are_no_distribution_are_refused(change: dict[str, object]) -> None:
    valid = {"edges": (1.0, 2.0), "shares": (0.25, 0.25, 0.5), "minimum": 0.0, "maximum": 3.0, "films": 4}
    NumericReference.model_validate(valid)
    with pytest.raises(ValidationError):
        NumericReference.model_validate({**valid, **change})


def test_a_reference_without_a_feature_or_a_finding_is_refused() -> None:
    valid = reference().model_dump()
    for change in ({"numeric": {}}, {"predicted_class": {FINDINGS[0]: 1.0}}):
        with pytest.raises(ValidationError):
            DriftReference.model_validate({**valid, **change})
