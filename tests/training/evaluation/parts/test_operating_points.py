"""Decisions at operating points, prediction sets and review, counted as the service takes them."""

import numpy as np
import pytest

from service.model.findings import FINDINGS
from training.evaluation.parts.operating_points import PART, _unflagged_table


def test_decisions_are_counted_as_the_service_takes_them(metrics, predictions, trained_manifest):
    point = metrics["operating_points"]["balanced"]
    assert point["review"]["films"] == sum(bool(row["flags"]) for row in predictions)
    assert sum(point["review"]["reasons"].values()) == sum(len(row["flags"].split()) for row in predictions)
    tuberculosis = metrics["prevalence"]["balanced"]["Tuberculosis"]
    assert (
        tuberculosis["sensitivity"]
        == point["per_class"]["Tuberculosis"]["recall"]
        == metrics["headline"]["tuberculosis_recall"]
    )
    assert set(tuberculosis["at"]) == {"0.005", "0.01", "0.05", "0.1", "0.2"}
    assert "Pneumonia" not in metrics["operating_points"]["tb_screening"]["per_class"]
    wrong = [row for row in predictions if row["predicted"] != row["label"]]
    unflagged = sum(not row["flags"] for row in wrong)
    assert point["review"]["errors"] == {"films": len(wrong), "unflagged": unflagged}
    missed = [row for row in wrong if (row["label"], row["predicted"]) == ("Pneumonia", "Normal")]
    assert point["review"]["called_normal"]["Pneumonia"]["films"] == len(missed)
    assert metrics["operating_points"]["tb_screening"]["review"]["errors"] is None, "pneumonia cannot be called there"
    sets, quantiles = metrics["prediction_sets"], trained_manifest.conformal.quantiles
    assert sum(sets["sizes"].values()) == len(predictions)
    kept = [sum(1 - float(row[finding.value]) <= quantiles[finding] + 1e-6 for finding in FINDINGS) for row in predictions]
    assert sets["mean_size"] == pytest.approx(np.mean(kept))


def test_errors_that_review_does_not_catch_are_counted_and_stand_among_the_limits():
    review = {
        "films": 3, "share": 0.3, "reasons": {}, "accuracy_without": 0.5, "errors": {"films": 4, "unflagged": 1},
        "called_normal": {"Pneumonia": {"films": 2, "unflagged": 1}, "Tuberculosis": {"films": 1, "unflagged": 0}},
    }  # fmt: skip
    (limit,) = PART.limits({"balanced": {"review": review}})
    assert "1 of the 4 errors at `balanced` have no flag" in limit
    assert "1 of 2 with Pneumonia and 0 of 1 with Tuberculosis" in limit
    assert "| 1 of 4 " in _unflagged_table({"balanced": {"review": review}})
    caught = {**review, "errors": {"films": 4, "unflagged": 0}}
    assert PART.limits({"balanced": {"review": caught}}) == []
