"""Judges a bundle on labelled films, measures, and writes the results. Prints progress on stderr, nothing on stdout."""

import os
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.manifest import MODEL_CARD_NAME
from service.model.predictor import Predictor
from training.command_text import command_line
from training.data.folder import folder_fingerprint, scan_folder
from training.data.lung_segmenter import LungSegmenter
from training.errors import DatasetNotFound
from training.evaluation.evidence import Evidence, NotMeasured
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.measures.metrics import measure
from training.evaluation.part import Measured, Part
from training.evaluation.parts.operating_points import decide_films
from training.evaluation.parts.table import PARTS, QUICK, QUICK_PARTS
from training.evaluation.report.card import render_model_card
from training.evaluation.report.files import (
    METRICS_NAME,
    PREDICTIONS_NAME,
    render_report,
    summary,
    write_predictions,
    write_report,
)
from training.evaluation.report.local_page import LOCAL_FOLDER
from training.evaluation.report.plots import draw_plots
from training.evaluation.report.provenance import bundle_identity, summarise_data
from training.tables import PLOTS_FOLDER

LUNGS = Path("models/lung-fields-1.0.0/lungs.onnx")

# Name of the folder of other pictures beside the data folder: data/not_cxr beside data/cxr.
NOT_CHEST_NAME = "not_cxr"


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate a bundle; the defaults are those of `cxr evaluate`."""

    split: str = "test"  # the films to judge: train, val or test
    out: Path | None = None  # folder of the results; None: reports/<bundle>-<split>
    parts: tuple[Part, ...] = PARTS  # measured beside the metrics that every evaluation has
    against: Path | None = None  # folder of another bundle, to compare with on the same films
    threads: int = os.cpu_count() or 1  # films judged at the same time
    resamples: int = 2000  # bootstrap samples behind each interval
    seed: int = 0  # of the bootstrap and of random subsets of films
    lungs: Path | None = None  # graph of a lung segmenter; None: LUNGS, if it exists
    # Folder of pictures other than chest films; None: NOT_CHEST_NAME beside the data, if it exists
    not_chest: Path | None = None

    def given(self) -> dict[str, object]:
        """The options that differ from their defaults, by name, as the command line takes them."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) != field.default}
        if "parts" in values:
            values["parts"] = QUICK if self.parts == QUICK_PARTS else ",".join(part.name for part in self.parts)
        return values


@dataclass(frozen=True)
class EvaluationResult:
    """A finished evaluation."""

    folder: Path  # of the results
    metrics: dict[str, Any]  # the content of metrics.json

    @property
    def metrics_path(self) -> Path:
        """metrics.json, which `cxr registry attach` puts into the bundle."""
        return self.folder / METRICS_NAME

    @property
    def card_path(self) -> Path:
        """MODEL_CARD.md, which `cxr registry attach` puts into the bundle."""
        return self.folder / MODEL_CARD_NAME

    def summary(self) -> str:
        """Overall metrics, and those by class and by source, as tables for a terminal."""
        return summary(self.metrics)


def evaluate(bundle_path: Path, data: Path, options: EvaluationOptions = EvaluationOptions()) -> EvaluationResult:
    """Judge a bundle on the films of the folder `data`, and write report, plots, metrics, predictions and model card.

    Raises BundleError, DatasetError, ConfigError for less than one thread, or OSError.
    """
    bundle = ModelBundle.open(bundle_path)
    manifest = bundle.manifest
    out = options.out or Path("reports", f"{manifest.name}-{manifest.version}-{options.split}")
    evidence = _evidence(bundle, data, options, out)
    split = evidence.judged()
    judgements = split.judgements()
    metrics = {
        "command": command_line("cxr evaluate", bundle_path, data=data, **options.given()),
        "bundle": bundle_identity(manifest),
        "split": options.split,
        "split_fingerprint": split.fingerprint,
        "trained_on_this_folder": folder_fingerprint(evidence.films, threads=options.threads) == manifest.data_fingerprint,
        "refused": {
            reason: [each.film.relative for each in split.refused if each.reason == reason]
            for reason in sorted({refused.reason for refused in split.refused})
        },
        **measure(judgements, evidence.bootstrap),
        **_measure_parts(evidence, options.parts),
        "data": summarise_data(data, evidence.films),
    }
    draw_plots(judgements, split.uncalibrated(), out / PLOTS_FOLDER, metrics["per_source"])
    for part in PARTS:
        if part.name in metrics:
            part.draw(metrics[part.name], out / PLOTS_FOLDER)
    write_predictions(split, decide_films(split, manifest), out / PREDICTIONS_NAME)
    write_report(render_report(metrics, PARTS), out)
    result = EvaluationResult(out, metrics)
    result.card_path.write_text(render_model_card(manifest, metrics, PARTS), encoding="utf-8")
    # Last, so that metrics.json exists only after a complete evaluation.
    write_json(result.metrics_path, metrics)
    return result


def _evidence(bundle: ModelBundle, data: Path, options: EvaluationOptions, out: Path) -> Evidence:
    """Open what the parts measure. Raises DatasetError or BundleError."""
    films = scan_folder(data, required=(options.split,))
    beside_data = data.resolve().parent / NOT_CHEST_NAME
    not_chest = options.not_chest or (beside_data if beside_data.is_dir() else None)
    if not_chest and not not_chest.is_dir():
        raise DatasetNotFound(f"There is no folder {not_chest} of pictures that are no chest radiographs; see --not-chest.")
    lungs = options.lungs or (LUNGS if LUNGS.is_file() else None)
    evidence = Evidence(
        bundle=bundle,
        predictor=Predictor.from_bundle(bundle),
        films=films,
        split=options.split,
        threads=options.threads,
        bootstrap=Bootstrap(options.resamples, options.seed),
        local=out / LOCAL_FOLDER,
        lungs=LungSegmenter.open(lungs) if lungs else None,
        not_chest=not_chest,
    )
    if options.against:
        other = ModelBundle.open(options.against)
        evidence.against = replace(evidence, bundle=other, predictor=Predictor.from_bundle(other))
    return evidence


def _measure_parts(evidence: Evidence, chosen: tuple[Part, ...]) -> Measured:
    """The values of each part under its name; in `not_measured` the reasons of the parts without values."""
    measured: Measured = {}
    reasons = {part.name: "it was not asked for (--parts)" for part in PARTS if part not in chosen}
    for number, part in enumerate(chosen, start=1):
        start = perf_counter()
        try:
            measured[part.name] = part.measure(evidence)
            outcome = f"{perf_counter() - start:.1f} s"
        except NotMeasured as reason:
            reasons[part.name] = str(reason)
            outcome = f"not measured: {reason}"
        print(f"[{number}/{len(chosen)}] {part.title}: {outcome}", file=sys.stderr, flush=True)
    return {**measured, "not_measured": reasons}
