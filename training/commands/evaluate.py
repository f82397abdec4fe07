"""`cxr evaluate`: judge a bundle on labelled films."""

import os
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer


def evaluate(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data folder. Some parts also read its train and val films.")],
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE", help="Bundle: a folder, or a tag of BentoML's model store. Default: the release that is served."
        ),
    ] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Films to judge.")] = "test",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the results. Default: reports/<bundle>-<split>.")
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="PARTS",
            help="Comma-separated, of calibration, operating_points, prevalence, prediction_sets, outliers, "
            "shortcuts, attention, robustness, misclassified, comparison; or `quick`: all but shortcuts, attention "
            "and robustness. Default: all.",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="Another bundle, to compare with on the same films.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Films judged at the same time.")] = os.cpu_count() or 1,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap samples behind each interval.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and of random subsets of films.")] = 0,
    lungs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Graph of a lung segmenter. Default: models/lung-fields-1.0.0/lungs.onnx, if it exists."
        ),
    ] = None,
    not_chest: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of pictures other than chest films. Default: not_cxr beside the data, if it exists."
        ),
    ] = None,
) -> None:
    """Judge a bundle on labelled films: metrics, report, model card.

    Example: cxr evaluate --data data/cxr --parts quick
    """
    from service.model.releases import locate_bundle
    from training.evaluation.evaluate import EvaluationOptions, evaluate
    from training.evaluation.parts.table import PARTS, select_parts
    from training.evaluation.report.local_page import LOCAL_FOLDER

    try:
        chosen = select_parts(parts) if parts else PARTS
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--parts") from fault
    path = locate_bundle(bundle)
    options = EvaluationOptions(
        split=split,
        out=out,
        parts=chosen,
        against=locate_bundle(against) if against else None,
        threads=threads,
        resamples=resamples,
        seed=seed,
        lungs=lungs,
        not_chest=not_chest,
    )
    result = evaluate(path, data, options)
    print(result.summary())
    written = ", ".join(sorted(f"{each.name}/" if each.is_dir() else each.name for each in result.folder.iterdir()))
    print(f"\nWritten to {result.folder}: {written}. {LOCAL_FOLDER}/ shows films of patients: do not pass it on.")
    if split == "test":
        attach = [str(path), "--metrics", str(result.metrics_path), "--card", str(result.card_path)]
        print(f"To put the metrics into the bundle: {shlex.join(['cxr', 'registry', 'attach', *attach])}")
