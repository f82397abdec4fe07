from typing import get_args

import pytest

from service.model.decision import REASON_OF, Observed, ReviewReason, decide, find_finding
from service.model.errors import UnknownFinding, UnknownOperatingPoint
from service.model.findings import Finding
from service.model.manifest import OUTLIERS_NAME, ImageStatistic
from tests.support.manifests import make_manifest, manifest_members

MANIFEST = make_manifest()
NORMAL, PNEUMONIA, TUBERCULOSIS = Finding

SURE = (0.05, 0.05, 0.90)
WITH_OUTLIERS = make_manifest(
    outliers={
        "threshold": 3.0,
        "films": 100,
        "flagged_share": 0.01,
        "image_bounds": {
            "mean": {"low": 60, "high": 200},
            "contrast": {"low": 20},
            "sharpness": {"low": 10},
            "aspect_ratio": {"low": 0.7, "high": 2.0},
            "chroma": {"high": 8},
            "resemblance": {"low": 0.1},
        },
    },
    files=manifest_members()["files"] | {OUTLIERS_NAME: "0" * 64},
)


@pytest.mark.parametrize(
    ("point", "probabilities", "called"),
    [
        ("balanced", (0.5, 0.3, 0.2), NORMAL),
        ("balanced", (0.2, 0.3, 0.5), TUBERCULOSIS),
        ("high_sensitivity", (0.65, 0.05, 0.30), TUBERCULOSIS),
        ("high_sensitivity", (0.72, 0.14, 0.14), NORMAL),
        ("high_sensitivity", (0.30, 0.36, 0.34), PNEUMONIA),
        ("high_specificity", (0.05, 0.69, 0.26), NORMAL),
        ("high_specificity", (0.10, 0.20, 0.70), TUBERCULOSIS),
        ("tb_screening", (0.10, 0.69, 0.21), TUBERCULOSIS),
        ("tb_screening", (0.05, 0.90, 0.05), NORMAL),
    ],
)
def test_each_operating_point_calls_by_its_own_rule(point, probabilities, called):
    assert decide(probabilities, MANIFEST, point).finding is called


def test_of_two_diseases_the_one_that_exceeds_its_threshold_most_is_called():
    points = {
        "balanced": {"description": ""},
        "uneven": {"description": "", "thresholds": {"Pneumonia": 0.5, "Tuberculosis": 0.1}},
    }
    assert decide((0.1, 0.6, 0.3), make_manifest(operating_points=points), "uneven").finding is TUBERCULOSIS


def test_confidence_is_the_probability_of_the_call():
    assert decide((0.65, 0.05, 0.30), MANIFEST, "high_sensitivity").confidence == 0.30


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ((0.10, 0.05, 0.85), (TUBERCULOSIS,)),
        ((0.41, 0.10, 0.49), (TUBERCULOSIS, NORMAL)),
        ((0.34, 0.33, 0.33), ()),
        ((0.60, 0.40, 0.00), (NORMAL, PNEUMONIA)),
    ],
)
def test_the_prediction_set_holds_what_reaches_one_minus_the_quantile(probabilities, expected):
    assert decide(probabilities, MANIFEST).prediction_set == expected


def test_each_finding_of_the_prediction_set_has_a_quantile_of_its_own():
    spec = {"coverage": 0.9, "quantiles": {"Normal": 0.3, "Pneumonia": 0.7, "Tuberculosis": 0.5}}
    manifest = make_manifest(conformal=spec)
    assert decide((0.65, 0.35, 0.00), manifest).prediction_set == (PNEUMONIA,)
    assert decide((0.00, 0.40, 0.60), manifest).prediction_set == (TUBERCULOSIS, PNEUMONIA)


@pytest.mark.parametrize(
    ("point", "probabilities", "reasons"),
    [
        ("balanced", (0.05, 0.05, 0.90), ()),
        ("balanced", (0.30, 0.15, 0.55), (ReviewReason.LOW_CONFIDENCE,)),
        ("balanced", (0.60, 0.40, 0.00), (ReviewReason.AMBIGUOUS,)),
        ("high_sensitivity", (0.65, 0.05, 0.30), (ReviewReason.OPERATING_POINT_DISAGREES,)),
        ("balanced", (0.34, 0.33, 0.33), (ReviewReason.LOW_CONFIDENCE, ReviewReason.AMBIGUOUS)),
    ],
)
def test_review_reasons_say_why_a_person_must_look(point, probabilities, reasons):
    assert decide(probabilities, MANIFEST, point).review_reasons == reasons


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownOperatingPoint, match="balanced, high_sensitivity, high_specificity, tb_screening"):
        decide((1, 0, 0), MANIFEST, "Balanced")
    with pytest.raises(UnknownFinding, match="Normal, Pneumonia, Tuberculosis"):
        find_finding("tuberculosis")
    assert find_finding("Tuberculosis") is TUBERCULOSIS


@pytest.mark.parametrize(
    ("observed", "reasons"),
    [
        (Observed(), ()),
        (Observed(outlier_score=3.0), ()),
        (Observed(outlier_score=3.01), (ReviewReason.OUT_OF_DISTRIBUTION,)),
        (Observed(outlier_score=float("nan")), (ReviewReason.OUT_OF_DISTRIBUTION,)),
        (Observed(image={"mean": 60, "chroma": 8, "aspect_ratio": 2.0, "resemblance": 0.1, "contrast": 20}), ()),
        (Observed(image={"mean": 59.9}), (ReviewReason.IMAGE_QUALITY,)),
        (Observed(image={"mean": 200.1}), (ReviewReason.IMAGE_QUALITY,)),
        (Observed(image={"contrast": 0, "sharpness": 0}), (ReviewReason.IMAGE_QUALITY,)),
        (Observed(image={"chroma": 8.1}), (ReviewReason.NOT_FRONTAL_CHEST,)),
        (Observed(image={"aspect_ratio": 0.69}), (ReviewReason.NOT_FRONTAL_CHEST,)),
        (Observed(image={"resemblance": -0.8}), (ReviewReason.NOT_FRONTAL_CHEST,)),
        (Observed(image={"resemblance": float("nan")}), (ReviewReason.NOT_FRONTAL_CHEST,)),
        (
            Observed(outlier_score=9, image={"sharpness": 1, "resemblance": 0}),
            (ReviewReason.OUT_OF_DISTRIBUTION, ReviewReason.NOT_FRONTAL_CHEST, ReviewReason.IMAGE_QUALITY),
        ),
    ],
)
def test_what_was_seen_of_the_film_is_held_to_the_manifests_bounds(observed, reasons):
    assert decide(SURE, WITH_OUTLIERS, observed=observed).review_reasons == reasons


def test_a_manifest_without_bounds_gives_no_reason_whatever_was_seen():
    observed = Observed(outlier_score=99, image={"chroma": 99})
    assert decide(SURE, MANIFEST, observed=observed).review_reasons == ()


def test_a_film_that_is_not_shown_as_its_file_asks_is_flagged_whatever_the_manifest_knows():
    for manifest in (MANIFEST, WITH_OUTLIERS):
        observed = Observed(display_fault="its rescale slope is 0")
        assert decide(SURE, manifest, observed=observed).review_reasons == (ReviewReason.IMAGE_QUALITY,)


def test_what_was_seen_of_the_film_changes_neither_call_nor_set():
    flagged = decide(SURE, WITH_OUTLIERS, observed=Observed(outlier_score=9))
    plain = decide(SURE, WITH_OUTLIERS)
    assert (flagged.finding, flagged.confidence, flagged.prediction_set) == (
        plain.finding,
        plain.confidence,
        plain.prediction_set,
    )


def test_every_statistic_has_its_reason():
    assert set(REASON_OF) == set(get_args(ImageStatistic))
