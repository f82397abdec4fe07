"""The decision of a retraining: written down, carried out, and tracked in MLflow.

It is written down first, and every part of carrying it out can be repeated, so that a retraining can be killed at any moment.
"""

import json
from pathlib import Path
from typing import Any

from export.registry import Registry
from service.files import write_json
from service.model.bundle import ModelBundle
from training.errors import NotCommissioned
from training.retraining.verdict import OVERALL
from training.run.tracking import RUN_NAME, open_client

DECISION_NAME = "decision.json"

# File with a decision that is not carried out yet.
PENDING_NAME = "pending.json"


def decided(folder: Path) -> dict[str, Any] | None:
    """The decision that was carried out in this folder; None if there is none."""
    path = folder / DECISION_NAME
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else None


def settle(folder: Path, decision: dict[str, Any], note: str, mlflow: str | None) -> None:
    """Write a decision down. note: for the registry's log. mlflow: experiment to track it in."""
    write_json(folder / PENDING_NAME, {"decision": decision, "note": note, "mlflow": mlflow})


def unfinished(runs: Path) -> list[Path]:
    """Folders of retrainings with a decision that is not fully carried out."""
    return sorted(path.parent for path in runs.glob(f"*/{PENDING_NAME}"))


def carry_out(folder: Path, models: Path, site: str | None = None) -> str:
    """Carry out what remains of this folder's decision; returns its note.

    Releases and promotes the challenger, or logs why the champion stays; tracks the decision in MLflow; last, writes
    decision.json, which marks the end of the retraining. If the champion is commissioned for a site and the challenger is not,
    the challenger is released but not promoted, and the decision says that it needs commissioning.

    site: the setting CXR_SITE, None if it is not set. Raises BundleError or ConfigError.
    """
    pending = folder / PENDING_NAME
    settled = json.loads(pending.read_text("utf-8"))
    decision, note = settled["decision"], settled["note"]
    registry = Registry(models, site)
    # Not a second time: the promotion may have been rolled back since.
    if decision["promoted"] and not _was_promoted(decision["challenger"], registry):
        note = _promote(folder / "bundle" / decision["challenger"], registry, decision, note)
    if not decision["promoted"]:
        registry.note(note)
    if settled["mlflow"]:
        _track(folder, decision)
    write_json(folder / DECISION_NAME, decision)
    pending.unlink()
    return str(note)


def _was_promoted(challenger: str, registry: Registry) -> bool:
    return any(entry.event == "promoted" and entry.release == challenger for entry in registry.log())


def _promote(challenger: Path, registry: Registry, decision: dict[str, Any], note: str) -> str:
    """Release and promote the challenger, or change `decision`, because it needs commissioning. Returns the note."""
    is_added = registry.has_chosen()  # without a choice, the service would load it as the newest release
    bundle = ModelBundle.open(registry.add(challenger)[0] if is_added else challenger)
    try:
        registry.require_commissioned(bundle)
    except NotCommissioned as missing:
        decision |= {"promoted": False, "verdict": f"{decision['verdict']}; needs commissioning"}
        between = "" if is_added else f" Between these two, `cxr registry add {challenger}`."
        return f"{note} Not promoted, because it needs commissioning: {missing}{between}"
    registry.add(challenger)
    registry.promote(decision["challenger"], note)
    return note


def _track(folder: Path, decision: dict[str, Any]) -> None:
    """Add the decision to the MLflow run that training made for this folder. Raises ConfigError if the store cannot be used."""
    client = open_client(folder)
    run_id = json.loads((folder / RUN_NAME).read_text("utf-8"))["run_id"]
    client.log_dict(run_id, decision, "decision.json")
    for name in ("champion", "challenger", "promoted", "verdict"):
        client.set_tag(run_id, f"retraining.{name}", str(decision[name]))
    client.set_tag(run_id, "retraining.triggers", ", ".join(each["name"] for each in decision["triggers"]))
    for finding, metrics in decision["comparison"]["difference"]["per_class"].items():
        client.log_metric(run_id, f"gain_recall_{finding.lower()}", metrics["recall"] or 0.0)
    client.log_metric(run_id, f"gain_{OVERALL}", decision["comparison"]["difference"]["headline"][OVERALL])
