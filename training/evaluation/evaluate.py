"""Judge a bundle on labelled films: python -m training.evaluation.evaluate [BUNDLE] --data DIR --split test.

main() is the table of contents: open, judge, measure, write, print. `cxr registry attach` puts the result into the bundle.
"""

import argparse
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from service.film.errors import ChestXrayError
from service.model.bundle import ModelBundle
from service.model.manifest import MODEL_CARD_NAME
from service.model.predictor import Predictor
from service.model.releases import locate_bundle
from training.command_text import published_command
from training.data.folder import SPLITS, folder_fingerprint, scan_folder
from training.data.lung_segmenter import LungSegmenter
from training.errors import DatasetNotFound
from training.evaluation.judging.duration import announce
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.metrics import measure
from training.evaluation.part import Evidence, Measured, NotMeasured, Part
from training.evaluation.parts.operating_points import decide_films
from training.evaluation.parts.registry import LONG, PARTS
from training.evaluation.report.card import render_model_card
from training.evaluation.report.plots import draw_figures
from training.evaluation.report.provenance import bundle_identity, summarise_data
from training.evaluation.report.tables import FIGURES_FOLDER
from training.evaluation.report.written import (
    METRICS_NAME,
    PAGE_NAME,
    PREDICTIONS_NAME,
    REPORT_NAME,
    render_report,
    summary,
    write_metrics,
    write_predictions,
    write_report,
)

LUNGS = Path("models/lung-fields-1.0.0/lungs.onnx")

# Beside the data folder, for example data/cxr and data/not_cxr.
NOT_CHEST_NAME = "not_cxr"

# The short form of --parts.
QUICK = "quick"

# Within the results: what shows films of patients.
LOCAL_FOLDER = "local"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation. Returns 0, or 1 with a message on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parse(words)
    try:
        bundle_path = locate_bundle(arguments.bundle)
        named = words if arguments.bundle else [str(bundle_path), *words]
        out = evaluate(bundle_path, arguments, published_command("training.evaluation.evaluate", named))
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    written = (
        METRICS_NAME,
        PREDICTIONS_NAME,
        REPORT_NAME,
        PAGE_NAME,
        MODEL_CARD_NAME,
        f"{FIGURES_FOLDER}/",
        f"{LOCAL_FOLDER}/",
    )
    print(f"\nWritten to {out}: {', '.join(written)}. {LOCAL_FOLDER}/ shows films of patients: do not pass it on.")
    if arguments.split == "test":
        attach = [str(bundle_path), "--metrics", str(out / METRICS_NAME), "--card", str(out / MODEL_CARD_NAME)]
        print(f"To put the figures into the bundle: {shlex.join(['cxr', 'registry', 'attach', *attach])}")
    return 0


def evaluate(bundle_path: Path, arguments: argparse.Namespace, command: str) -> Path:
    """Judge, measure, write and print; returns the folder of the results. Raises ChestXrayError or OSError.

    command: what stands in the results as the command that made them.
    """
    bundle = ModelBundle.open(bundle_path)
    out: Path = arguments.out or Path("reports", f"{bundle.manifest.name}-{bundle.manifest.version}-{arguments.split}")
    evidence = _evidence(bundle, arguments, out)
    asked = [part for part in PARTS if part.name in arguments.parts]
    print(announce(evidence, asked, LONG), file=sys.stderr, flush=True)
    split = evidence.judged()
    judgements = split.judgements()
    metrics = {
        "command": command,
        "bundle": bundle_identity(bundle.manifest),
        "split": arguments.split,
        "split_fingerprint": split.fingerprint,
        "trained_on_this_folder": _is_training_folder(evidence),
        "refused": _refusals(split),
        **measure(judgements, resamples=arguments.resamples, seed=arguments.seed),
        **_measure_parts(evidence, arguments.parts),
        "data": summarise_data(arguments.data, evidence.films),
    }
    draw_figures(judgements, split.uncalibrated(), out / FIGURES_FOLDER, metrics["per_source"])
    for part in PARTS:
        if part.name in metrics:
            part.draw(metrics[part.name], out / FIGURES_FOLDER)
    write_predictions(split, decide_films(split, bundle.manifest), out / PREDICTIONS_NAME)
    write_report(render_report(metrics, PARTS), out)
    (out / MODEL_CARD_NAME).write_text(render_model_card(bundle.manifest, metrics, PARTS), encoding="utf-8")
    # Last, so that the file which `cxr registry attach` reads stands for a complete evaluation.
    write_metrics(metrics, out / METRICS_NAME)
    print(f"{bundle.manifest.name} {bundle.manifest.version}, {arguments.split} split, {metrics['n']} films\n")
    print(summary(metrics))
    return out


def _evidence(bundle: ModelBundle, arguments: argparse.Namespace, out: Path) -> Evidence:
    """What the parts look at. Raises DatasetNotFound, DatasetError or BundleError."""
    films = scan_folder(arguments.data, required=(arguments.split,))
    beside = arguments.data.resolve().parent / NOT_CHEST_NAME
    not_chest = arguments.not_chest or (beside if beside.is_dir() else None)
    if not_chest and not not_chest.is_dir():
        raise DatasetNotFound(f"There is no folder {not_chest} of pictures that are no chest radiographs; see --not-chest.")
    lungs = arguments.lungs or (LUNGS if LUNGS.is_file() else None)
    evidence = Evidence(
        bundle=bundle,
        predictor=Predictor.from_bundle(bundle),
        films=films,
        split=arguments.split,
        threads=arguments.threads,
        seed=arguments.seed,
        local=out / LOCAL_FOLDER,
        lungs=LungSegmenter.open(lungs) if lungs else None,
        not_chest=not_chest,
        resamples=arguments.resamples,
    )
    if arguments.against:
        other = ModelBundle.open(locate_bundle(arguments.against))
        evidence.against = replace(evidence, bundle=other, predictor=Predictor.from_bundle(other))
    return evidence


def _measure_parts(evidence: Evidence, chosen: tuple[str, ...]) -> Measured:
    """What each part measured under its name, and in `not_measured` why the others did not."""
    measured: Measured = {}
    reasons = {part.name: "it was not asked for (--parts)" for part in PARTS if part.name not in chosen}
    asked = [part for part in PARTS if part.name in chosen]
    for place, part in enumerate(asked, start=1):
        start = perf_counter()
        values, reason = _measure_one(part, evidence)
        if values is None:
            reasons[part.name] = reason
        else:
            measured[part.name] = values
        outcome = f"not measured: {reason}" if values is None else f"{perf_counter() - start:.1f} s"
        print(f"[{place}/{len(asked)}] {part.title}: {outcome}", file=sys.stderr, flush=True)
    return {**measured, "not_measured": reasons}


def _measure_one(part: Part, evidence: Evidence) -> tuple[Measured | None, str]:
    """Its values, or None and the reason as a clause."""
    try:
        return part.measure(evidence), evidence.lacking()
    except NotMeasured as lack:
        return None, str(lack)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.evaluate", description="Judge a bundle on labelled films."
    )
    parser.add_argument(
        "bundle", nargs="?", help="folder of a bundle, or a tag of BentoML's model store; default: the newest release"
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder; train/ and val/ are needed by some parts only")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--out", type=Path, help="folder of the results (default: reports/<bundle>-<split>)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="films judged at the same time")
    parser.add_argument("--resamples", type=_positive, default=2000, help="bootstrap draws behind the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap draws")
    parser.add_argument("--against", help="another bundle, folder or tag, to compare with on the same films")
    names = tuple(part.name for part in PARTS)
    parser.add_argument(
        "--parts",
        type=_part_names,
        default=names,
        help=f"{QUICK}, which leaves out {', '.join(part.name for part in LONG)}, or comma-separated, of {', '.join(names)} "
        "(default: all)",
    )
    parser.add_argument("--lungs", type=Path, help=f"graph of a lung-field segmenter (default: {LUNGS}, if it is there)")
    parser.add_argument(
        "--not-chest",
        type=Path,
        help=f"folder of pictures that are no chest radiographs (default: {NOT_CHEST_NAME} beside the data, if it is there)",
    )
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def _part_names(text: str) -> tuple[str, ...]:
    if text == QUICK:
        return tuple(part.name for part in PARTS if part not in LONG)
    known = tuple(part.name for part in PARTS)
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown part {', '.join(map(repr, unknown))}; choose {QUICK}, or of {', '.join(known)}"
        )
    return names


def _is_training_folder(evidence: Evidence) -> bool:
    """Whether the bundle was trained on these very films; else they say nothing of what it learnt from."""
    return folder_fingerprint(evidence.films, threads=evidence.threads) == evidence.bundle.manifest.data_fingerprint


def _refusals(split: JudgedSplit) -> dict[str, list[str]]:
    """Paths of the refused films by reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for refused in split.refused:
        by_reason[refused.reason].append(refused.film.relative)
    return dict(sorted(by_reason.items()))


if __name__ == "__main__":
    raise SystemExit(main())
