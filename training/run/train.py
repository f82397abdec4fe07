"""Runs one training: claims the folder, reads the data, builds the trainer, trains epoch by epoch, saves."""

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from training.config import TrainConfig
from training.data.training_data import read_training_data
from training.devices import Compute, choose_device, join_processes, leave_processes
from training.network.checkpoint import BEST_NAME, LATEST_NAME, load_checkpoint
from training.network.initialise import require_unseen_source
from training.run.folder import Origin, claim_folder, save_epoch
from training.run.history import EpochRecord, from_columns, write_history
from training.run.job import TrainingJob
from training.run.stopping import best_epoch, judged_alike, stop_reason
from training.run.tracking import track
from training.run.trainer import Trainer


def train(job: TrainingJob) -> None:
    """Train in this process, or in all processes that torchrun started; track the run if asked to.

    Raises ConfigError, DatasetError, WeightsUnavailable, CheckpointInvalid or TrainingDiverged.
    """
    device = choose_device(job.device or job.config.run.device)
    processes = join_processes(device)
    try:
        with track(job if processes.is_main else replace(job, mlflow=None)) as log_epochs:
            fit(job, Compute.of(job.config.run, device, processes), log_epochs)
    finally:
        leave_processes(processes)


def fit(job: TrainingJob, compute: Compute, log_epochs: Callable[[], None]) -> None:
    """Train until the run ends; job.out then holds best_model.pt, latest_checkpoint.pt, history, curves and data report.

    log_epochs: called before the first epoch, and whenever the files of an epoch are written.
    """
    config, is_main = job.config, compute.processes.is_main
    if is_main:
        claim_folder(job)
    require_unseen_source(config)
    threads = max(1, (os.cpu_count() or 1) // compute.processes.count)
    data = read_training_data(job.data, config.data, threads=threads, report_to=job.out if is_main else None)
    trainer, origin = Trainer.build(config, data, compute), Origin.of(config, data)
    history: list[EpochRecord] = []
    if job.resume and (job.out / LATEST_NAME).is_file():
        checkpoint = load_checkpoint(job.out / LATEST_NAME)
        origin.require_same(checkpoint)
        trainer.load_state_dict(checkpoint)
        history = from_columns(checkpoint["history"])
        if is_main:
            print(f"Resumed after epoch {len(history)} from {job.out / LATEST_NAME}", flush=True)
    log_epochs()
    while (reason := _reason_to_stop(history, config)) is None:
        record = trainer.epoch(len(history) + 1)
        history.append(record)
        if is_main:
            is_best = record is _best_of(history, config)
            best = trainer.stepper.average.judged.state_dict() if is_best else None
            save_epoch(job.out, origin.checkpoint(trainer, history), history, best)
            print(_line(record, config, is_best=is_best), flush=True)
            log_epochs()
    if is_main:
        _conclude(job, history, reason)


def _reason_to_stop(history: Sequence[EpochRecord], config: TrainConfig) -> str | None:
    # No run ends in the small epochs: a network that has only seen small films is not one to export.
    reason = None
    if len(history) > config.schedule.small_epochs:
        reason = stop_reason(judged_alike(history, config.schedule.small_epochs), config.stopping)
    if reason is None and len(history) >= config.schedule.epochs:
        reason = f"all {config.schedule.epochs} epochs done"
    return reason


def _best_of(history: Sequence[EpochRecord], config: TrainConfig) -> EpochRecord:
    return best_epoch(judged_alike(history, config.schedule.small_epochs), config.stopping.minimum_improvement)


def _line(record: EpochRecord, config: TrainConfig, *, is_best: bool) -> str:
    schedule = config.schedule
    left_minutes = (schedule.epochs - record.epoch) * record.seconds / 60
    # Metrics at two sides are not comparable, so the first epoch at the final side is the best one there.
    judged_px = schedule.small_side_px if record.epoch <= schedule.small_epochs else config.data.image_size_px
    best = f"  * best at {judged_px} px" if is_best else ""
    return (
        f"epoch {record.epoch:3d}/{schedule.epochs}{' frozen' if record.backbone_frozen else '       '} "
        f"loss {record.train_loss:.4f} / {record.val_loss:.4f}  F1 {record.train_f1:.4f} / {record.val_f1:.4f}  "
        f"val accuracy {record.val_accuracy:.4f}  AUC {record.val_auc:.4f}  {record.seconds:.0f} s, "
        f"at most {left_minutes:.0f} min left{best}"
    )


def _conclude(job: TrainingJob, history: Sequence[EpochRecord], reason: str) -> None:
    best = _best_of(history, job.config)
    outcome = {"finished": True, "reason": reason, "best_epoch": best.epoch, "best_val_f1": best.val_f1}
    write_history(job.out, history, outcome)
    # REPORT Table 27: {model}_v{major}.{minor}.{patch}_{date}.pt
    named = job.out / f"{job.config.model.architecture}_v{job.version}_{datetime.now(UTC):%Y%m%d}.pt"
    shutil.copyfile(job.out / BEST_NAME, named)
    print(f"Stopped: {reason}.\nBest epoch {best.epoch}: validation F1 {best.val_f1:.4f}. Checkpoint: {named}", flush=True)
    checkpoint = shlex.quote(str(job.out / BEST_NAME))
    print(f"Next: cxr export --checkpoint {checkpoint} --data DATA --version {job.version} --out models", flush=True)
