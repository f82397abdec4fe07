import pytest

from service.contract.errors import UnknownFinding, UnknownOperatingPoint
from service.contract.findings import Finding
from service.decision import ReviewReason, decide, find_finding
from tests.manifests import make_manifest

MANIFEST = make_manifest()
NORMAL, PNEUMONIA, TUBERCULOSIS = Finding


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
