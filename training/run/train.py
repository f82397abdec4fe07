"""Train a classifier: python -m training.run.train --config training/configs/report.toml --data DATA --out runs/report.

main() is the table of contents of a run: read config, validate data, build, fit epoch by epoch, save.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from service.film.errors import ChestXrayError
from service.model.findings import FINDINGS
from training.config import TrainConfig, load_config
from training.data.batches import (
    EvaluationFilms,
    FilmStore,
    TrainingFilms,
    batches,
    class_weights,
    epoch_order,
    film_weights,
    own_share,
)
from training.data.folder import scan_folder, without_source
from training.data.model_input import preprocess_spec
from training.data.validation import ValidationLimits, ValidationReport, validate_dataset
from training.devices import (
    Precision,
    Processes,
    choose_device,
    choose_precision,
    join_processes,
    leave_processes,
    seed_epoch,
    seed_everything,
    share_buffers,
)
from training.errors import CheckpointInvalid, ConfigError
from training.network.averaging import WeightAverage
from training.network.checkpoint import BEST_NAME, LATEST_NAME, load_checkpoint, save_checkpoint, versioned_name
from training.network.classifier import ChestXrayNetwork
from training.network.initialise import begin, first_weights_sha256, recipe_behind, require_unseen_source, training_store
from training.run.history import as_columns, draw_curves, from_columns, write_history
from training.run.loop import EpochFigures, Stepper, evaluate_epoch, train_epoch
from training.run.schedule import build_optimiser, build_scheduler, is_backbone_frozen
from training.run.source_alignment import SourceAlignment
from training.run.stopping import EpochRecord, best_epoch, judged_alike, stop_reason
from training.run.teacher import Teacher
from training.run.tracking import track
from training.run.watcher import RunWatcher


def main(argv: Sequence[str] | None = None) -> int:
    """Run one training. Returns 0, or 1 with a message on stderr."""
    arguments = _parse(argv)
    try:
        config = load_config(arguments.config, tuple(arguments.set))
        device = choose_device(arguments.device or config.run.device)
        processes = join_processes(device)
        try:
            experiment = arguments.mlflow if processes.is_main else None
            named = {"version": arguments.version, "resume": arguments.resume}
            with track(experiment, config, arguments.out, keeps_checkpoint=arguments.mlflow_checkpoint, **named) as watcher:
                train(config, arguments.data, arguments.out, device, processes, watcher=watcher, **named)
        finally:
            leave_processes(processes)
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\nInterrupted; with --resume the same command goes on after the last epoch in {arguments.out}.", file=sys.stderr
        )
        return 130
    return 0


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    device: torch.device,
    processes: Processes,
    *,
    version: str,
    resume: bool,
    watcher: RunWatcher | None = None,
) -> None:
    """Validate the data, fit, and leave best_model.pt, latest_checkpoint.pt, history and curves in `out`."""
    watcher = watcher or RunWatcher()
    _claim(out, resume=resume, processes=processes)
    require_unseen_source(config)
    seed_everything(config.run)
    report = _validate_data(config, data, out, processes)
    run = _Run.build(config, report, device, processes)
    history: list[EpochRecord] = []
    if resume and (out / LATEST_NAME).is_file():
        history = run.restore(load_checkpoint(out / LATEST_NAME))
        run.say(f"Resumed after epoch {len(history)} from {out / LATEST_NAME}")
    if processes.is_main:
        watcher.started()
    small_epochs = config.schedule.small_epochs
    reason = stop_reason(judged_alike(history, small_epochs), config.stopping) if len(history) > small_epochs else None
    while reason is None and len(history) < config.schedule.epochs:
        record = run.epoch(len(history) + 1)
        history.append(record)
        comparable = judged_alike(history, small_epochs)
        # What films of small sides teach is not what is exported: a run must not end with them.
        reason = stop_reason(comparable, config.stopping) if len(history) > small_epochs else None
        if processes.is_main:
            is_best = best_epoch(comparable, config.stopping.minimum_improvement) is record
            run.save(out, history, is_best=is_best)
            run.say(_line(record, config.schedule.epochs, _best(record, config) if is_best else ""))
            watcher.epoch_done(record)
    if processes.is_main:
        _conclude(out, config, history, reason or f"all {config.schedule.epochs} epochs done", version)


@dataclass
class _Run:
    """Everything that lives through the epochs of one run."""

    config: TrainConfig
    network: ChestXrayNetwork
    stepper: Stepper
    training: FilmStore
    validation: FilmStore
    weights: Tensor | None
    alignment: SourceAlignment | None
    teacher: Teacher | None
    precision: Precision
    device: torch.device
    processes: Processes
    data_fingerprint: str
    sources_fingerprint: str
    first_weights_sha256: str
    began_with: dict[str, Any] | None

    @classmethod
    def build(cls, config: TrainConfig, report: ValidationReport, device: torch.device, processes: Processes) -> "_Run":
        """Network, optimiser and film stores. Raises WeightsUnavailable or EmptyClass."""
        kept = without_source(report.usable, config.data.held_out_source)
        films = {split: [film for film in kept if film.split == split] for split in ("train", "val")}
        spec = preprocess_spec(config)
        training = training_store(films["train"], config)
        network = begin(config, training)
        network.to(device)
        if config.run.channels_last:
            network.to(memory_format=torch.channels_last)
        optimiser = build_optimiser(network, config.optimiser)
        share = len(films["train"]) // processes.count
        loader_batches = max(1, share // config.optimiser.batch_size)
        steps = -(-loader_batches // config.optimiser.accumulation_steps)
        precision = choose_precision(config.run.amp, device)
        stepper = Stepper(
            network=network,
            optimiser=optimiser,
            scheduler=build_scheduler(optimiser, config.optimiser, config.schedule, steps),
            scaler=precision.scaler(),
            average=WeightAverage(network, config.averaging),
            config=config.optimiser,
        )
        weights = class_weights(films["train"], config.data).to(device) if config.loss.class_weights else None
        alignment = None
        if config.loss.source_alignment:
            alignment = SourceAlignment(training.films, len(FINDINGS), network.head.spec.features, device)
        return cls(
            config=config,
            network=network,
            stepper=stepper,
            training=training,
            validation=FilmStore(films["val"], spec, spec.image_size_px, cache=config.data.cache),
            weights=weights,
            alignment=alignment,
            teacher=Teacher(network, config.loss.distillation) if config.loss.distillation else None,
            precision=precision,
            device=device,
            processes=processes,
            data_fingerprint=report.data_fingerprint,
            sources_fingerprint=report.sources_fingerprint,
            first_weights_sha256=first_weights_sha256(config.model),
            began_with=recipe_behind(config.model),
        )

    def epoch(self, number: int) -> EpochRecord:
        """Train and validate once. Epochs count from 1."""
        started, config = time.monotonic(), self.config
        seed_epoch(config.run, number, self.processes.rank)
        self.stepper.average.begin_epoch(number)
        frozen = is_backbone_frozen(number, config.schedule)
        rate = float(self.stepper.optimiser.param_groups[-1]["lr"])
        trained = self._train(number, frozen=frozen)
        self.stepper.average.after_epoch()
        validated = self._validate(number)
        return EpochRecord(
            epoch=number,
            backbone_frozen=frozen,
            learning_rate=rate,
            train_loss=trained.loss,
            train_f1=trained.f1,
            val_loss=validated.loss,
            val_f1=validated.f1,
            val_accuracy=validated.accuracy,
            val_auc=validated.auc,
            seconds=round(time.monotonic() - started, 1),
        )

    def _train(self, number: int, *, frozen: bool) -> EpochFigures:
        config = self.config
        self.network.train_mode(backbone_frozen=frozen)
        drawn = film_weights(self.training.films, config.data)
        order = epoch_order(drawn, balanced=config.data.balance != "none", seed=config.run.seed, epoch=number)
        own = own_share(order, self.processes)
        self.training.warm([int(index) for index in np.unique(own)], shows_progress=self.processes.is_main)
        seed = [config.run.seed, number, self.processes.rank]
        side_px, films_px = config.data.image_size_px, None
        if number <= config.schedule.small_epochs:
            side_px = config.schedule.small_side_px
            films_px = round(config.augment.resize_px * side_px / config.data.image_size_px)
        films = TrainingFilms(self.training, own, config.augment, side_px, seed, films_px)
        loader = batches(
            films,
            batch_size=config.optimiser.batch_size,
            workers=config.data.workers,
            drop_last=len(films) >= config.optimiser.batch_size,
            pin_memory=self.device.type == "cuda",
        )
        # DDP notes which parameters train when it is built, so each freezing phase gets its own wrapper.
        model: nn.Module = self.network if self.processes.count == 1 else DistributedDataParallel(self.network)
        return train_epoch(
            model, self.stepper, loader, self.weights, config.loss, self.alignment, self.teacher, config.augment,
            self.precision, self.device, self.processes,
            f"epoch {number}/{config.schedule.epochs} train",
        )  # fmt: skip

    def _validate(self, number: int) -> EpochFigures:
        config = self.config
        share_buffers(self.stepper.average.judged, self.processes)
        own = list(range(len(self.validation.films)))[self.processes.rank :: self.processes.count]
        self.validation.warm(own, shows_progress=self.processes.is_main)
        side_px = config.schedule.small_side_px if number <= config.schedule.small_epochs else None
        films = EvaluationFilms(self.validation, own, side_px)
        loader = batches(films, batch_size=64, workers=0, drop_last=False, pin_memory=False)
        return evaluate_epoch(
            self.stepper.average.judged, loader, self.weights, config.loss.label_smoothing,
            self.precision, self.device, self.processes,
            f"epoch {number}/{config.schedule.epochs} val",
        )  # fmt: skip

    def restore(self, checkpoint: dict[str, Any]) -> list[EpochRecord]:
        """Take up where the checkpoint stopped; returns its history. Raises CheckpointInvalid if it is another run's."""
        own_origin = {
            "config": self.config.as_dict(),
            "data_fingerprint": self.data_fingerprint,
            "sources_fingerprint": self.sources_fingerprint,
            "first_weights_sha256": self.first_weights_sha256,
        }
        for name, own in own_origin.items():
            if checkpoint.get(name) != own:
                raise CheckpointInvalid(
                    f"The checkpoint was trained with another {name}; resume with the same one or choose a new --out."
                )
        if self.alignment is not None:
            self.alignment.load_state_dict(checkpoint["alignment_state_dict"])
        self.network.load_state_dict(checkpoint["model_state_dict"])
        self.stepper.optimiser.load_state_dict(checkpoint["optimizer_state_dict"])
        self.stepper.scheduler.load_state_dict(checkpoint["scheduler_state_dict"])
        self.stepper.scaler.load_state_dict(checkpoint["scaler_state_dict"])
        self.stepper.average.load_state_dict(checkpoint["average_state_dict"])
        return from_columns(checkpoint["history"])

    def save(self, out: Path, history: list[EpochRecord], *, is_best: bool) -> None:
        """Write latest_checkpoint.pt, best_model.pt if this epoch is the best, history and curves."""
        checkpoint = {
            "epoch": history[-1].epoch,
            "model_state_dict": self.network.state_dict(),
            "optimizer_state_dict": self.stepper.optimiser.state_dict(),
            "scheduler_state_dict": self.stepper.scheduler.state_dict(),
            "scaler_state_dict": self.stepper.scaler.state_dict(),
            "average_state_dict": self.stepper.average.state_dict(),
            **({"alignment_state_dict": self.alignment.state_dict()} if self.alignment else {}),
            "val_f1": history[-1].val_f1,
            "config": self.config.as_dict(),
            "class_names": [finding.value for finding in FINDINGS],
            "history": as_columns(history),
            "data_fingerprint": self.data_fingerprint,
            "sources_fingerprint": self.sources_fingerprint,
            "first_weights_sha256": self.first_weights_sha256,
            "git_commit": _git_commit(),
            **({"began_with": self.began_with} if self.began_with else {}),
        }
        if is_best:
            # The best model first: killed between the two writes, the resumed run repeats this epoch and writes both again.
            save_checkpoint(out / BEST_NAME, checkpoint | {"model_state_dict": self.stepper.average.judged.state_dict()})
        save_checkpoint(out / LATEST_NAME, checkpoint)
        write_history(out / "training_history.json", history, {"finished": False})
        draw_curves(out / "training_curves.png", history)

    def say(self, text: str) -> None:
        """Print from the main process only."""
        if self.processes.is_main:
            print(text, flush=True)


def _claim(out: Path, *, resume: bool, processes: Processes) -> None:
    try:
        if (out / LATEST_NAME).is_file() and not resume:
            raise ConfigError(f"{out} already holds a run; continue it with --resume or choose another --out.")
        if processes.is_main:
            out.mkdir(parents=True, exist_ok=True)
            # A file proves it before the work begins; a folder that exists may still refuse one.
            with tempfile.TemporaryFile(dir=out):
                pass
    except OSError as fault:
        raise ConfigError(
            f"--out {out} cannot be written ({fault.strerror}); make it writable or choose another folder."
        ) from fault


def _validate_data(config: TrainConfig, data: Path, out: Path, processes: Processes) -> ValidationReport:
    """The validation pass of REPORT Table 4. Every process makes it; the main one writes it down."""
    limits = ValidationLimits(near_duplicate_bits=config.data.near_duplicate_bits)
    report = validate_dataset(scan_folder(data), workers=max(1, (os.cpu_count() or 1) // processes.count), limits=limits)
    if processes.is_main:
        report.write(out)
        print(report.table(), flush=True)
    report.require_trainable()
    return report


def _best(record: EpochRecord, config: TrainConfig) -> str:
    """Marks the best epoch so far; of films of two sides, with those that it was compared with."""
    schedule, side_px = config.schedule, config.data.image_size_px
    if not schedule.small_epochs:
        return "  * best"
    if record.epoch <= schedule.small_epochs:
        return f"  * best at {schedule.small_side_px} px"
    if record.epoch == schedule.small_epochs + 1:
        return f"  * best at {side_px} px, its first: epochs at {schedule.small_side_px} px no longer count"
    return f"  * best at {side_px} px"


def _line(record: EpochRecord, epochs: int, best: str) -> str:
    left_minutes = (epochs - record.epoch) * record.seconds / 60
    return (
        f"epoch {record.epoch:3d}/{epochs}{' frozen' if record.backbone_frozen else '       '} "
        f"loss {record.train_loss:.4f} / {record.val_loss:.4f}  F1 {record.train_f1:.4f} / {record.val_f1:.4f}  "
        f"val accuracy {record.val_accuracy:.4f}  AUC {record.val_auc:.4f}  {record.seconds:.0f} s, "
        f"at most {left_minutes:.0f} min left{best}"
    )


def _conclude(out: Path, config: TrainConfig, history: list[EpochRecord], reason: str, version: str) -> None:
    best = best_epoch(judged_alike(history, config.schedule.small_epochs), config.stopping.minimum_improvement)
    outcome = {"finished": True, "reason": reason, "best_epoch": best.epoch, "best_val_f1": best.val_f1}
    write_history(out / "training_history.json", history, outcome)
    named = out / versioned_name(config.model.architecture, version, datetime.now(UTC).date())
    shutil.copyfile(out / BEST_NAME, named)
    print(f"Stopped: {reason}.\nBest epoch {best.epoch}: validation F1 {best.val_f1:.4f}. Checkpoint: {named}", flush=True)
    checkpoint = shlex.quote(str(out / BEST_NAME))
    print(f"Next: cxr export --checkpoint {checkpoint} --data DATA --version {version} --out models", flush=True)


def _git_commit() -> str:
    """Commit of the working tree, with a + if it has changes; "unknown" outside git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--match="],  # noqa: S607 - git from PATH
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.run.train", description="Train a chest X-ray classifier.")
    parser.add_argument("--config", type=Path, required=True, help="TOML file, see training/configs/")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder train|val|test/<class>/…, optionally with manifest.csv"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; created if absent")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps; overrides run.device")
    parser.add_argument("--version", default="0.0.0", help="semantic version in the checkpoint's name")
    parser.add_argument("--resume", action="store_true", help="continue from latest_checkpoint.pt in --out")
    parser.add_argument(
        "--mlflow", metavar="EXPERIMENT", help="track the run in MLflow: in mlflow.db beside --out, or at MLFLOW_TRACKING_URI"
    )
    parser.add_argument("--mlflow-checkpoint", action="store_true", help="store best_model.pt in MLflow too")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one config value")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
