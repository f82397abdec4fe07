"""Puts an evaluation into its bundle: the metrics into the manifest, the model card in place of the one from the export."""

import json
from pathlib import Path
from typing import Any

from export.bundle import seal, staged_copy
from service.model.bundle import ModelBundle
from service.model.manifest import GRAPH_NAME, MODEL_CARD_NAME
from training.errors import ExportError

# Model and thresholds were chosen on the other splits, so that metrics are better there than on new films.
TEST_SPLIT = "test"

# Of metrics.json; what is left out (counts and licences of the data, refused films) stands in the model card.
ATTACHED = (
    "command", "split", "split_fingerprint", "trained_on_this_folder", "n", "groups", "bootstrap", "headline",
    "confusion_matrix", "macro", "weighted", "per_class", "per_source", "calibration", "operating_points", "prediction_sets",
)  # fmt: skip


def attach(bundle_path: Path, metrics_path: Path, card_path: Path) -> ModelBundle:
    """Replace the bundle's test metrics and model card by those of an evaluation of it; graph and version stay.

    Raises BundleError if the bundle cannot be trusted, and ExportError if the metrics are incomplete, or those of another
    graph or version, of another split than test, or of another data folder than that of the training.
    """
    bundle = ModelBundle.open(bundle_path)
    metrics = _read_metrics(metrics_path)
    measured, shipped = metrics["bundle"]["model_sha256"], bundle.manifest.files[GRAPH_NAME]
    if measured != shipped:
        raise ExportError(
            f"{metrics_path} was measured on a graph with SHA-256 {measured[:12]}, {bundle_path} holds {shipped[:12]}; "
            f"evaluate this bundle: cxr evaluate {bundle_path}."
        )
    if metrics["bundle"]["version"] != bundle.manifest.version:
        raise ExportError(
            f"{metrics_path} was measured on version {metrics['bundle']['version']}, whose thresholds may be others; evaluate "
            f"this bundle: cxr evaluate {bundle_path}."
        )
    if metrics["split"] != TEST_SPLIT:
        raise ExportError(
            f"{metrics_path} was measured on the {metrics['split']} split, a bundle takes metrics of the {TEST_SPLIT} split; "
            f"evaluate again with --split {TEST_SPLIT}."
        )
    if not metrics["trained_on_this_folder"]:
        raise ExportError(
            f"{metrics_path} was measured on another data folder than {bundle_path} was trained on, so its card cannot say "
            "what the model learnt from; evaluate on the training's data folder."
        )
    manifest = bundle.manifest.model_copy(update={"test_metrics": {name: metrics[name] for name in ATTACHED}})
    with staged_copy(bundle, bundle_path, replace=True) as folder:
        (folder / MODEL_CARD_NAME).write_bytes(card_path.read_bytes())
        seal(folder, manifest)
    return ModelBundle.open(bundle_path)


def _read_metrics(path: Path) -> dict[str, Any]:
    """Parse metrics.json. Raises ExportError if it is not one."""
    try:
        metrics = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except ValueError as fault:
        raise ExportError(f"{path} is not JSON ({fault}); evaluate the bundle again: cxr evaluate.") from fault
    missing = [name for name in (*ATTACHED, "bundle") if not isinstance(metrics, dict) or name not in metrics]
    if missing:
        raise ExportError(f"{path} lacks {', '.join(missing)}; give the metrics.json that `cxr evaluate` wrote.")
    return dict(metrics)


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity; a manifest with them could not be answered by /model/info."""
    raise ValueError(f"{constant} is no number of JSON")
