"""Retraining: trains a challenger if there is a reason, and promotes it if it is better.

A reason is an alert or enough confirmed labels (REPORT 8.4). Training continues from the released model, the champion. Both
models are evaluated on the same test films. The challenger is promoted only if it is better overall and worse in no class,
beyond chance. If the champion is commissioned for a site and the challenger is not, it is released and waits for commissioning.
The decision is in the registry's log, in the run's decision.json and, if asked for, in MLflow. The same command resumes a
killed retraining, and does not train twice on the same films.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.files import lock
from service.model.bundle import ModelBundle
from service.model.releases import locate_bundle
from training.config_file import load_config
from training.data.folder import SPLITS, folder_fingerprint, scan_folder
from training.errors import ConfigError
from training.retraining.challenger import Challenger, changes_for
from training.retraining.confirmed import read_labels, write_labels
from training.retraining.decision import carry_out, decided, settle, unfinished
from training.retraining.films import assemble
from training.retraining.triggers import Trigger, enough_labels, firing_alerts

CONFIG = Path(__file__).parents[1] / "configs" / "retrain.toml"


@dataclass(frozen=True)
class RetrainingJob:
    """What to retrain with, and when."""

    data: Path  # folder with train/, val/ and test/
    prometheus: str | None  # address of the Prometheus whose alerts are reasons; None: confirmed labels alone are
    archive: Path | None  # folder with the films as they were sent, found by their SHA-256; None adds no films
    models: Path  # folder of the releases
    site: str | None  # setting CXR_SITE: site profile that is served whatever the registry chose; None if not set
    runs: Path  # folder of retrainings
    labels: int  # more new labels than this are a reason
    force: str | None  # the caller's own reason; None for none
    config: Path  # training configuration
    changes: tuple[str, ...]  # to the configuration, each SECTION.KEY=VALUE
    mlflow: str | None  # experiment for run and decision


def retrain(job: RetrainingJob, *, dry_run: bool = False) -> None:
    """Look for a reason, assemble films, train, export, evaluate, decide; print what happens. dry_run: only print the reasons.

    Raises ConfigError (another retraining is under way, Prometheus or the records do not answer), StepFailed, DatasetError,
    BundleError or OSError.
    """
    job.runs.mkdir(parents=True, exist_ok=True)
    guard = job.runs / ".retrain.lock"
    guard.touch()
    held = lock(guard, wait=False)
    if held is None:
        raise ConfigError(f"Another retraining is under way in {job.runs}; wait for it, or give other --runs.")
    try:
        if not dry_run and (killed := unfinished(job.runs)):
            for folder in killed:
                print(f"{folder} had decided when it was killed; resuming.\n")
                print(carry_out(folder, job.models, job.site))
            return
        champion = ModelBundle.open(locate_bundle(None, job.models))
        labels = read_labels(write_labels(job.runs / "labels.csv", since=champion.manifest.created_at))
        triggers = _triggers(job, len(labels))
        made = champion.manifest.created_at[:10]
        print(f"{champion.path.name} is released; {len(labels)} labels were confirmed since {made}.")
        print("\n".join(f"Reason: {trigger}" for trigger in triggers) or "No reason: nothing to do.")
        if triggers and not dry_run:
            _challenge(job, champion, labels, triggers)
    finally:
        os.close(held)


def _challenge(job: RetrainingJob, champion: ModelBundle, labels: Mapping[str, str], triggers: Sequence[Trigger]) -> None:
    """Train and evaluate a challenger, and carry out the decision about it."""
    config = load_config(job.config, (*job.changes, *changes_for(champion)))
    data = job.runs / "data"
    films = assemble(job.data, job.archive, labels, data, config.data.near_duplicate_bits)
    print(f"New films: {films}.")
    identity = folder_fingerprint(scan_folder(data, required=SPLITS), threads=os.cpu_count() or 1)
    folder = job.runs / f"retrain-{champion.manifest.version}-{identity[:12]}"
    if earlier := decided(folder):
        print(f"{folder} decided on these films already: {earlier['verdict']}")
        return
    challenger = Challenger.begin(folder, champion, data, job.models)
    challenger.train(config, job.mlflow)
    challenger.export()
    verdict, comparison = challenger.evaluate()
    if verdict.promote:
        challenger.attach()
    name = challenger.bundle.name
    decision = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "champion": champion.path.name,
        "challenger": name,
        "promoted": verdict.promote,
        "verdict": str(verdict),
        "triggers": [asdict(trigger) for trigger in triggers],
        "films": asdict(films),
        "comparison": comparison,
    }
    reasons = ", ".join(map(str, triggers))
    note = f"Challenger {name}, trained from {champion.path.name} because of {reasons}; {films}. On the test films: {verdict}."
    settle(folder, decision, note, job.mlflow)
    print(f"\n{carry_out(folder, job.models, job.site)}")


def _triggers(job: RetrainingJob, labels: int) -> list[Trigger]:
    alerts = firing_alerts(job.prometheus) if job.prometheus else []
    forced = [Trigger("Asked for", job.force)] if job.force else []
    return [*alerts, *enough_labels(labels, job.labels), *forced]
