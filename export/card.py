"""The model card of an export: what the model is, and its calibration. `export.attach` replaces it by that of an evaluation."""

from export.calibration import TB_SCREENING, TB_SENSITIVITY, Calibration, found_no_minimum
from service.model.manifest import ModelManifest

CALIBRATION_HEADING = "## Calibration"


def render_card(manifest: ModelManifest, calibration: Calibration) -> str:
    """Markdown. Every number is measured; what is not known is not mentioned."""
    at_bound = ""
    if found_no_minimum(manifest.temperature):
        at_bound = ", at the bound of its range: too few films, or a network that is always or never right"
    quantiles = ", ".join(f"{finding} {quantile:.4f}" for finding, quantile in manifest.conformal.quantiles.items())
    unusual_row = flagged = ""
    if manifest.outliers is not None:
        share = manifest.outliers.flagged_share
        unusual_row = f"| Flagged as unlike the training films, share of the validation films | {share:.3f} |\n"
        flagged = "; pictures unlike the training films are answered too, with a flag for review, which not all of them get"
    return f"""# {manifest.name} {manifest.version}

Classifies a frontal chest radiograph as {", ".join(finding.value for finding in manifest.findings)}.

**For research use only.** Not a medical device, not cleared for diagnosis; a person has to judge every film.

## What it is
- Architecture: {manifest.architecture} with a {manifest.head.hidden}-unit head, input {manifest.preprocess.image_size_px} x \
{manifest.preprocess.image_size_px} px grey, ONNX opset {manifest.opset}
- Exported: {manifest.created_at}, from code revision {manifest.git_commit or "unknown"}
- Training data: fingerprint {manifest.data_fingerprint}; the recipe is `training_config` in manifest.json
- Licences: those of the training data and of the pretrained weights apply to this model; see where the data came from
- Not evaluated yet: `cxr evaluate` measures it on the test split, and `cxr registry attach` puts metrics and card in here

{CALIBRATION_HEADING}, fitted on {calibration.films} validation films
| What | Value |
|---|---|
| Temperature | {manifest.temperature:.4f}{at_bound} |
| Negative log-likelihood, before and after (nats) | {calibration.nll_before:.4f}, {calibration.nll_after:.4f} |
| Tuberculosis screening threshold (sensitivity at least {TB_SENSITIVITY:.0%}) | {calibration.tb_threshold:.4f} |
| Conformal quantiles ({manifest.conformal.coverage:.0%} coverage) | {quantiles} |
| Review if the confidence is below | {manifest.review.low_confidence_below:.4f} |
{unusual_row}
## Limits
- It knows three answers. A film with another disease, of a child where only adults were seen, or that is no frontal chest film
  at all, gets one of the three{flagged}.
- Where a finding comes mostly from one hospital, a network can learn the hospital instead; metrics per source show it.
- `{TB_SCREENING}` looks for tuberculosis alone: its "Normal" means "tuberculosis not suspected".
"""
