"""Judge a bundle on labelled films: python -m training.evaluation [BUNDLE] --data DIR --split test.

main() is the table of contents: open, judge, measure, write, print. `python -m export.attach` puts the result into the bundle.
"""

import argparse
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.contract.errors import ChestXrayError
from service.contract.manifest import GRAPH_NAME, MODEL_CARD_NAME, ModelBundle
from service.loading import locate_bundle
from service.predictor import Predictor
from training.evaluation.card import render_model_card
from training.evaluation.decisions import measure_operating_points, measure_prediction_sets
from training.evaluation.figures import draw_figures
from training.evaluation.judging import JudgedSplit, judge
from training.evaluation.metrics import measure
from training.evaluation.provenance import summarise_data
from training.evaluation.report import (
    FIGURES_FOLDER,
    METRICS_NAME,
    PREDICTIONS_NAME,
    REPORT_NAME,
    render_report,
    summary,
    write_metrics,
    write_predictions,
)
from training.folder import SPLITS, scan_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation. Returns 0, or 1 with a message on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parse(words)
    try:
        bundle_path = locate_bundle(arguments.bundle)
        named = words if arguments.bundle else [str(bundle_path), *words]
        # The command is published with the figures, so it must not tell where folders lie on this machine.
        published = [Path(word).name if Path(word).is_absolute() else word for word in named]
        out = evaluate(bundle_path, arguments, shlex.join(["python", "-m", "training.evaluation", *published]))
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    print(f"\nWritten to {out}: {METRICS_NAME}, {PREDICTIONS_NAME}, {REPORT_NAME}, {MODEL_CARD_NAME}, {FIGURES_FOLDER}/")
    if arguments.split == "test":
        attach = [str(bundle_path), "--metrics", str(out / METRICS_NAME), "--card", str(out / MODEL_CARD_NAME)]
        print(f"To put the figures into the bundle: {shlex.join(['python', '-m', 'export.attach', *attach])}")
    return 0


def evaluate(bundle_path: Path, arguments: argparse.Namespace, command: str) -> Path:
    """Judge, measure, write and print; returns the folder of the results. Raises ChestXrayError or OSError.

    command: what stands in the results as the command that made them.
    """
    bundle = ModelBundle.open(bundle_path)
    films = scan_folder(arguments.data)
    predictor = Predictor.from_bundle(bundle)
    split = judge(predictor, [film for film in films if film.split == arguments.split], threads=arguments.threads)
    judgements = split.judgements()
    metrics = {
        "command": command,
        "bundle": _identity(bundle),
        "split": arguments.split,
        "split_fingerprint": split.fingerprint,
        "refused": _refusals(split),
        **measure(judgements, resamples=arguments.resamples, seed=arguments.seed),
        "operating_points": measure_operating_points(judgements, bundle.manifest),
        "prediction_sets": measure_prediction_sets(judgements, bundle.manifest),
        "data": summarise_data(arguments.data, films),
    }
    out: Path = arguments.out or Path("reports", f"{bundle.manifest.name}-{bundle.manifest.version}-{arguments.split}")
    draw_figures(judgements, out / FIGURES_FOLDER)
    write_predictions(split, out / PREDICTIONS_NAME)
    (out / REPORT_NAME).write_text(render_report(metrics), encoding="utf-8")
    (out / MODEL_CARD_NAME).write_text(render_model_card(bundle.manifest, metrics), encoding="utf-8")
    # Last, so that the file which export.attach reads stands for a complete evaluation.
    write_metrics(metrics, out / METRICS_NAME)
    print(f"{bundle.manifest.name} {bundle.manifest.version}, {arguments.split} split, {metrics['n']} films\n")
    print(summary(metrics))
    return out


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation", description="Judge a bundle on labelled films.")
    parser.add_argument(
        "bundle", nargs="?", help="folder of a bundle, or a tag of BentoML's model store; default: the newest release"
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder with train/, val/ and test/")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--out", type=Path, help="folder of the results (default: reports/<bundle>-<split>)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="films judged at the same time")
    parser.add_argument("--resamples", type=_positive, default=2000, help="bootstrap draws behind the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap draws")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def _identity(bundle: ModelBundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {"name": manifest.name, "version": manifest.version, "model_sha256": manifest.files[GRAPH_NAME]}


def _refusals(split: JudgedSplit) -> dict[str, list[str]]:
    """Paths of the refused films by reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for refused in split.refused:
        by_reason[refused.reason].append(refused.film.relative)
    return dict(sorted(by_reason.items()))


if __name__ == "__main__":
    raise SystemExit(main())
