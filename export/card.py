"""The model card of an export: what the model is, and its metrics on the validation split.

`export.attach` replaces it by the card of an evaluation on the test split.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.calibration import TB_SENSITIVITY, Calibration, found_no_minimum
from service.model.decision import ReviewReason, decide
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ModelManifest

TB_SCREENING = "tb_screening"


@dataclass(frozen=True)
class ValidationMetrics:
    """Shares 0..1 on the validation split, by the service's own decision rules.

    films: number of films.
    accuracy: at the balanced operating point.
    recall: the same per finding.
    tb_sensitivity: at tb_screening.
    tb_specificity: at tb_screening.
    coverage: films whose conformal set holds the true finding.
    set_size: mean number of findings in that set.
    low_confidence: films below the review threshold.
    errors_low_confidence: share of the balanced errors that are among those films, 0 if there is no error.
    """

    films: int
    accuracy: float
    recall: dict[Finding, float]
    tb_sensitivity: float
    tb_specificity: float
    coverage: float
    set_size: float
    low_confidence: float
    errors_low_confidence: float


def validation_metrics(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], manifest: ModelManifest
) -> ValidationMetrics:
    """Evaluate calibrated probabilities [N, 3] against labels [N], which hold every finding."""
    truth = [FINDINGS[label] for label in labels]
    balanced = [decide(row, manifest) for row in probabilities.tolist()]
    screened = [decide(row, manifest, TB_SCREENING).finding is Finding.TUBERCULOSIS for row in probabilities.tolist()]
    right = np.array([decision.finding is finding for decision, finding in zip(balanced, truth, strict=True)])
    called, is_tb = np.array(screened), np.array([finding is Finding.TUBERCULOSIS for finding in truth])
    unsure = np.array([ReviewReason.LOW_CONFIDENCE in decision.review_reasons for decision in balanced])
    return ValidationMetrics(
        films=len(labels),
        accuracy=float(right.mean()),
        recall={finding: float(right[labels == index].mean()) for index, finding in enumerate(FINDINGS)},
        tb_sensitivity=float(called[is_tb].mean()),
        tb_specificity=float((~called[~is_tb]).mean()),
        coverage=float(np.mean([t in decision.prediction_set for decision, t in zip(balanced, truth, strict=True)])),
        set_size=float(np.mean([len(decision.prediction_set) for decision in balanced])),
        low_confidence=float(unsure.mean()),
        errors_low_confidence=float(unsure[~right].mean()) if not right.all() else 0.0,
    )


def render_card(manifest: ModelManifest, calibration: Calibration, metrics: ValidationMetrics) -> str:
    """Markdown. Every number is measured; what is not known is not mentioned."""
    recalls = "\n".join(f"| Recall, {finding.value} | {value:.3f} |" for finding, value in metrics.recall.items())
    at_bound = ", at the bound of its range: too few films, or a network that is always or never right" * found_no_minimum(
        manifest.temperature
    )
    quantiles = ", ".join(f"{finding} {quantile:.4f}" for finding, quantile in manifest.conformal.quantiles.items())
    return f"""# {manifest.name} {manifest.version}

Classifies a frontal chest radiograph as {", ".join(finding.value for finding in manifest.findings)}.

**For research use only.** Not a medical device, not cleared for diagnosis; a person has to judge every film.

## What it is
- Architecture: {manifest.architecture} with a {manifest.head.hidden}-unit head, input {manifest.preprocess.image_size_px} x \
{manifest.preprocess.image_size_px} px grey, ONNX opset {manifest.opset}
- Exported: {manifest.created_at}, from code revision {manifest.git_commit or "unknown"}
- Training data: fingerprint {manifest.data_fingerprint}; the recipe is `training_config` in manifest.json
- Licences: those of the training data and of the pretrained weights apply to this model; see where the data came from

## Calibration, fitted on {metrics.films} validation films
| What | Value |
|---|---|
| Temperature | {manifest.temperature:.4f}{at_bound} |
| Negative log-likelihood, before and after (nats) | {calibration.nll_before:.4f}, {calibration.nll_after:.4f} |
| Tuberculosis screening threshold (sensitivity at least {TB_SENSITIVITY:.0%}) | {calibration.tb_threshold:.4f} |
| Conformal quantiles ({manifest.conformal.coverage:.0%} coverage) | {quantiles} |
| Review if the confidence is below | {manifest.review.low_confidence_below:.4f} |
{_outlier_row(manifest)}
## Metrics on the same films
Training chose the model by these films, and the thresholds were fitted on them: expect less on new films. The test split has
not been used yet.

| What | Value |
|---|---|
| Accuracy (balanced) | {metrics.accuracy:.3f} |
{recalls}
| Tuberculosis screening, sensitivity | {metrics.tb_sensitivity:.3f} |
| Tuberculosis screening, specificity | {metrics.tb_specificity:.3f} |
| True finding in the conformal set | {metrics.coverage:.3f} |
| Findings in the conformal set, mean | {metrics.set_size:.2f} |
| Films below the review threshold | {metrics.low_confidence:.3f} |
| Errors among those films | {metrics.errors_low_confidence:.3f} of all errors |

## Limits
- It knows three answers. A film with another disease, of a child where only adults were seen, or that is no frontal chest film
  at all, gets one of the three{_unless_flagged(manifest)}.
- Where a finding comes mostly from one hospital, a network can learn the hospital instead; figures per source tell.
- `{TB_SCREENING}` looks for tuberculosis alone: its "Normal" means "tuberculosis not suspected".
"""


def _outlier_row(manifest: ModelManifest) -> str:
    if manifest.outliers is None:
        return ""
    return f"| Flagged as unlike the training films, share of the validation films | {manifest.outliers.flagged_share:.3f} |\n"


def _unless_flagged(manifest: ModelManifest) -> str:
    if manifest.outliers is None:
        return ""
    return "; pictures unlike the training films are answered too, with a flag for review, which is no proof of the contrary"
