"""Retraining: `python -m training.retraining.retrain --data DATA --prometheus http://prometheus:9090 [--archive FOLDER]`.

Asks whether there is a reason (REPORT 8.4), trains from the model that serves, judges both on the same test films, and lets
the new one serve only if it is better overall and in no class worse, beyond chance. What it decided is in the registry's log,
in the run's decision.json and, if asked for, in MLflow. The same command goes on with a run that was killed; films that a
decision was made on already are not trained on again.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.film.errors import ChestXrayError
from service.model.bundle import ModelBundle
from service.model.releases import MODELS_DIR, locate_bundle
from training.config_file import load_config
from training.data.folder import SPLITS, folder_fingerprint, scan_folder
from training.data.validation_report import ValidationLimits
from training.errors import ConfigError
from training.retraining.films import NewFilms, assemble
from training.retraining.run import Retraining, alone, carry_out, changes_for, decided, settle, unfinished
from training.retraining.triggers import ENOUGH_LABELS, Trigger, enough_labels, firing_alerts, read_labels

CONFIG = Path(__file__).parents[1] / "configs" / "retrain.toml"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 when there was no reason, or a decision was made; 1 with a message if it could not be."""
    arguments = _parse(argv)
    try:
        with alone(arguments.runs):
            retrain(arguments)
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    return 0


def retrain(arguments: argparse.Namespace) -> None:
    """Ask, assemble, train, export, judge, decide, write down. Raises ChestXrayError or OSError."""
    if not arguments.dry_run and (killed := unfinished(arguments.runs)):
        for folder in killed:
            print(f"{folder} had decided when it was killed; going on.")
            print(f"\n{carry_out(folder, arguments.models)}")
        return
    champion = ModelBundle.open(locate_bundle(None, arguments.models))
    labels_path = arguments.runs / "labels.csv"
    _write_labels(labels_path, since=champion.manifest.created_at)
    labels = read_labels(labels_path)
    triggers = _triggers(arguments, len(labels))
    print(f"{champion.path.name} serves; {len(labels)} labels were confirmed since {champion.manifest.created_at[:10]}.")
    print("\n".join(f"Trigger: {trigger}" for trigger in triggers) or "No trigger: nothing to do.")
    if arguments.dry_run or not triggers:
        return
    changes = (*arguments.set, *changes_for(champion))
    config = load_config(arguments.config, changes)
    data = arguments.runs / "data"
    limits = ValidationLimits(near_duplicate_bits=config.data.near_duplicate_bits)
    films = assemble(arguments.data, arguments.archive, labels, data, limits)
    print(f"New films: {films}.")
    identity = folder_fingerprint(scan_folder(data, required=SPLITS), threads=os.cpu_count() or 1)
    name = f"retrain-{champion.manifest.version}-{identity[:12]}"
    folder = arguments.runs / name
    if (earlier := decided(folder)) is not None:
        print(f"{folder} decided on these films already: {earlier['verdict']}")
        return
    run = Retraining.begin(folder, champion, data, arguments.models)
    run.train(arguments.config, changes, arguments.mlflow)
    run.export()
    verdict, comparison = run.judge(arguments.parts)
    note = _note(run, triggers, films, str(verdict))
    if verdict.promote:
        run.attach()
    decision = _decision(run, triggers, films, verdict.promote, str(verdict), comparison)
    settle(folder, decision, note, arguments.mlflow)
    print(f"\n{carry_out(folder, arguments.models)}")


def _triggers(arguments: argparse.Namespace, labels: int) -> list[Trigger]:
    alerts = firing_alerts(arguments.prometheus) if arguments.prometheus else []
    forced = [Trigger("Asked for", arguments.force)] if arguments.force else []
    return [*alerts, *enough_labels(labels, arguments.labels), *forced]


def _write_labels(path: Path, since: str) -> None:
    """By the service's own command: where its records are, its settings say."""
    command = [sys.executable, "-m", "service.commands.cxr", "records", "labels", "--out", str(path), "--since", since]
    asked = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 (our own command)
    if asked.returncode != 0:
        raise ConfigError(f"The records do not say which labels were confirmed: {asked.stderr.strip()}")


def _note(run: Retraining, triggers: Sequence[Trigger], films: NewFilms, verdict: str) -> str:
    """For the registry's log."""
    trained = f"Challenger {run.challenger.name}, trained from {run.champion.path.name} because of"
    return f"{trained} {', '.join(map(str, triggers))}; {films}. On the test films: {verdict}."


def _decision(
    run: Retraining, triggers: Sequence[Trigger], films: NewFilms, promoted: bool, verdict: str, comparison: dict[str, Any]
) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "champion": run.champion.path.name,
        "challenger": run.challenger.name,
        "promoted": promoted,
        "verdict": verdict,
        "triggers": [asdict(trigger) for trigger in triggers],
        "films": asdict(films),
        "comparison": comparison,
    }


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.retraining.retrain",
        description="Train a challenger if there is a reason to; let it serve if it is better.",
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder with train/, val/ and test/")
    parser.add_argument("--prometheus", help="address of the Prometheus whose alerts are asked for; none: labels alone count")
    parser.add_argument("--archive", type=Path, help="folder with the films as they were sent, found by their SHA-256")
    parser.add_argument("--models", type=Path, default=MODELS_DIR, help="folder of the releases (%(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/retraining"), help="folder of retrainings (%(default)s)")
    parser.add_argument(
        "--labels", type=int, default=ENOUGH_LABELS, help="more new labels than this are a reason (%(default)s)"
    )
    parser.add_argument("--force", metavar="REASON", help="retrain without a trigger")
    parser.add_argument("--dry-run", action="store_true", help="show triggers, and train nothing")
    parser.add_argument("--config", type=Path, default=CONFIG, help="training configuration (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one of its values")
    parser.add_argument("--parts", default="comparison,calibration,operating_points,prediction_sets,outliers")
    parser.add_argument("--mlflow", metavar="EXPERIMENT", help="keep the run and the decision in MLflow")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
