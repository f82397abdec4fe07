"""What the service's decision rules make of the probabilities: operating points, prediction sets, review. Plain JSON values."""

from typing import Any

import numpy as np

from service.contract.findings import DISEASES, FINDINGS
from service.contract.manifest import ModelManifest
from service.decision import DEFAULT_OPERATING_POINT, Decision, decide
from training.evaluation.confusion import ConfusionMatrix
from training.evaluation.metrics import Judgements, plain


def measure_operating_points(judgements: Judgements, manifest: ModelManifest) -> dict[str, Any]:
    """Recall, specificity and precision of each disease under every operating point of the manifest, by name."""
    return {name: _measure_one(judgements, manifest, name) for name in sorted(manifest.operating_points)}


def measure_prediction_sets(judgements: Judgements, manifest: ModelManifest) -> dict[str, Any]:
    """How often the conformal set holds the truth, how large it is, and how often a person must look (balanced point)."""
    decisions = _decide_all(judgements, manifest, DEFAULT_OPERATING_POINT)
    truths = [FINDINGS[label] for label in judgements.labels]
    covered = [truth in decision.prediction_set for truth, decision in zip(truths, decisions, strict=True)]
    correct = judgements.predicted == judgements.labels
    alone = np.array([not decision.review_reasons for decision in decisions])
    return {
        "promised_coverage": manifest.conformal.coverage,
        "coverage": plain(np.mean(covered)),
        "coverage_per_class": {
            finding.value: plain(np.mean(np.array(covered)[judgements.labels == index]))
            for index, finding in enumerate(FINDINGS)
            if np.any(judgements.labels == index)
        },
        "mean_size": plain(np.mean([len(decision.prediction_set) for decision in decisions])),
        "review_share": plain(np.mean(~alone)),
        "accuracy_without_review": plain(np.mean(correct[alone])) if alone.any() else None,
    }


def _measure_one(judgements: Judgements, manifest: ModelManifest, name: str) -> dict[str, Any]:
    """Figures of the diseases that the point can call; accuracy is None unless it can call them all."""
    called = np.array([FINDINGS.index(decision.finding) for decision in _decide_all(judgements, manifest, name)])
    matrix = ConfusionMatrix.of(judgements.labels, called, len(FINDINGS))
    point = manifest.operating_points[name]
    diseases = [disease for disease in DISEASES if not point.thresholds or disease in point.thresholds]
    return {
        "description": point.description,
        "thresholds": {finding.value: threshold for finding, threshold in point.thresholds.items()},
        "accuracy": plain(matrix.accuracy) if len(diseases) == len(DISEASES) else None,
        "per_class": {
            disease.value: {
                figure: plain(getattr(matrix, figure)[FINDINGS.index(disease)])
                for figure in ("recall", "specificity", "precision")
            }
            for disease in diseases
        },
    }


def _decide_all(judgements: Judgements, manifest: ModelManifest, operating_point: str) -> list[Decision]:
    return [decide(row.tolist(), manifest, operating_point) for row in judgements.probabilities]
