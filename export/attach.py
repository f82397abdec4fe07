"""Put an evaluation into its bundle: python -m export.attach BUNDLE --metrics METRICS.json --card MODEL_CARD.md.

Reads what training.evaluation wrote, checks that it was measured on the test split and on this very graph, and keeps the
figures that readers of a manifest need. Measures nothing itself.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.bundle import attach_evaluation, register
from service.film.errors import ChestXrayError
from service.model.bundle import ModelBundle
from service.model.manifest import GRAPH_NAME
from training.errors import ExportError

# Figures of the films that the model and its thresholds were chosen on would look better than the model is.
TEST_SPLIT = "test"

# Of metrics.json; what is left out (counts and licences of the data, refused films) stands in the model card.
ATTACHED = (
    "command", "split", "split_fingerprint", "trained_on_this_folder", "n", "groups", "bootstrap", "headline",
    "confusion_matrix", "macro", "weighted", "per_class", "per_source", "calibration", "operating_points", "prediction_sets",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Attach from the command line. Returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m export.attach", description="Put an evaluation into its bundle.")
    parser.add_argument("bundle", type=Path, help="bundle folder, for example models/chest-xray-1.0.0")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of training.evaluation")
    parser.add_argument("--card", type=Path, required=True, help="MODEL_CARD.md of training.evaluation")
    parser.add_argument("--no-register", action="store_true", help="leave BentoML's model store as it is")
    arguments = parser.parse_args(argv)
    try:
        bundle = attach(arguments.bundle, arguments.metrics, arguments.card)
        registered = "" if arguments.no_register else f", registered as {register(bundle, replace=True)}"
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    print(f"{bundle.path}: figures of the {TEST_SPLIT} split attached{registered}")
    return 0


def attach(bundle_path: Path, metrics_path: Path, card_path: Path) -> ModelBundle:
    """Replace the bundle's test metrics and model card by those of an evaluation of it.

    Raises BundleError if the bundle cannot be trusted, and ExportError if the figures are incomplete, or those of another
    graph, of another split than test, or of another data folder than that of the training.
    """
    bundle = ModelBundle.open(bundle_path)
    metrics = read_metrics(metrics_path)
    measured, shipped = metrics["bundle"]["model_sha256"], bundle.manifest.files[GRAPH_NAME]
    if measured != shipped:
        raise ExportError(
            f"{metrics_path} was measured on a graph with SHA-256 {measured[:12]}, {bundle_path} holds {shipped[:12]}; "
            "evaluate this bundle: python -m training.evaluation."
        )
    if metrics["split"] != TEST_SPLIT:
        raise ExportError(
            f"{metrics_path} was measured on the {metrics['split']} split, a bundle takes figures of the {TEST_SPLIT} split; "
            f"evaluate again with --split {TEST_SPLIT}."
        )
    if not metrics["trained_on_this_folder"]:
        raise ExportError(
            f"{metrics_path} was measured on another data folder than {bundle_path} was trained on, so its card cannot say "
            "what the model learnt from; evaluate the folder of the training."
        )
    return attach_evaluation(bundle_path, {name: metrics[name] for name in ATTACHED}, card_path.read_text("utf-8"))


def read_metrics(path: Path) -> dict[str, Any]:
    """Parse metrics.json. Raises ExportError if it is not one."""
    try:
        metrics = json.loads(path.read_text("utf-8"))
    except ValueError as fault:
        raise ExportError(f"{path} is not JSON ({fault}); evaluate the bundle again: python -m training.evaluation.") from fault
    missing = [name for name in (*ATTACHED, "bundle") if not isinstance(metrics, dict) or name not in metrics]
    if missing:
        raise ExportError(f"{path} lacks {', '.join(missing)}; it must be the metrics.json of training.evaluation.")
    return dict(metrics)


if __name__ == "__main__":
    raise SystemExit(main())
