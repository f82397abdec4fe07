"""The decision in MLflow, beside the curves of the run that it is about."""

import json
from pathlib import Path
from typing import Any

from training.retraining.verdict import OVERALL
from training.run.tracking import RUN_NAME, open_client


def track_decision(experiment: str, folder: Path, decision: dict[str, Any]) -> None:
    """Add the decision to the MLflow run of this folder, which `training.run.train --mlflow` made in that experiment.

    Raises ConfigError if the store cannot be used.
    """
    client = open_client(folder)
    run_id = json.loads((folder / RUN_NAME).read_text("utf-8"))["run_id"]
    client.log_dict(run_id, decision, "decision.json")
    for name in ("champion", "challenger", "promoted", "verdict"):
        client.set_tag(run_id, f"retraining.{name}", str(decision[name]))
    client.set_tag(run_id, "retraining.triggers", ", ".join(each["name"] for each in decision["triggers"]))
    for finding, figures in decision["comparison"]["difference"]["per_class"].items():
        client.log_metric(run_id, f"gain_recall_{finding.lower()}", figures["recall"] or 0.0)
    client.log_metric(run_id, f"gain_{OVERALL}", decision["comparison"]["difference"]["headline"][OVERALL])
