"""`cxr evaluate`: judge a bundle on labelled films, or a recipe on hospitals that it has not seen."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import Changes

# Options without a meaning where a recipe, commissioning or a bundle is judged.
_NOT_OF_A_RECIPE = ("split", "parts", "against", "seed", "lungs", "not_chest")
_NOT_OF_COMMISSIONING = (*_NOT_OF_A_RECIPE, "out", "threads", "resamples", "seeds", "one_hospital", "changes")
_NOT_OF_A_BUNDLE = ("seeds", "sources", "one_hospital", "changes", "draws")


def evaluate(
    context: typer.Context,
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
    leave_one_out: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG",
            help="Judge this recipe instead of a bundle: train it without each source in turn, and judge it on that source. "
            "Takes hours; the same command resumes.",
            rich_help_panel="Hospitals never seen",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs without each source.", rich_help_panel="Hospitals never seen")] = 2,
    sources: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Sources to leave out or to commission, with commas between. Default: leave out each that holds normal films "
            "and films of a disease.",
            rich_help_panel="Hospitals never seen",
        ),
    ] = None,
    one_hospital: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Sources to leave out together, such as rsna,nih14,rahman/Normal; repeatable.",
            rich_help_panel="Hospitals never seen",
        ),
    ] = None,
    changes: Changes = None,
    commission: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="Judge site profiles: fit one to this many films of each class of each of --sources, such as 20,40,80, and "
            "judge it on the other patients. With --leave-one-out: on each source left out.",
            rich_help_panel="Hospitals never seen",
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws of films to commission with.", rich_help_panel="Hospitals never seen")
    ] = 20,
) -> None:
    """Judge a bundle on labelled films: metrics, report, model card. Or judge a recipe on hospitals that it has not seen.

    Example: cxr evaluate --data data/cxr --parts quick
    """
    numbers = [int(word) if word.strip().isdecimal() else 0 for word in _names(commission)]
    if numbers and min(numbers) < 1:
        raise typer.BadParameter("give numbers of films such as 20,40,80.", param_hint="--commission")
    if leave_one_out is not None:
        _refuse(context, _NOT_OF_A_RECIPE, "has no meaning with --leave-one-out.")
        if bundle is not None:
            raise typer.BadParameter("it trains models of its own; give no BUNDLE with it.", param_hint="--leave-one-out")
        from training.leave_one_out.evaluate import LeaveOneOut
        from training.leave_one_out.evaluate import leave_one_out as judge_recipe
        from training.leave_one_out.report import unseen_table

        job = LeaveOneOut(
            leave_one_out,
            data,
            out or Path("reports", f"leave-one-out-{leave_one_out.stem}"),
            changes=changes or [],
            sources=_names(sources),
            one_hospital=one_hospital or [],
            seeds=seeds,
            threads=threads,
            resamples=resamples,
            commission=numbers,
            draws=draws,
        )
        print(unseen_table(judge_recipe(job)))
        print(f"\nWritten to {job.out}: report.md, report.html, metrics.json, and a folder with bundle and log for each run.")
        return
    if numbers:
        _refuse(context, _NOT_OF_COMMISSIONING, "has no meaning with --commission.")
    else:
        _refuse(context, _NOT_OF_A_BUNDLE, "goes with --leave-one-out or --commission alone.")
    from service.model.bundle import ModelBundle
    from service.model.releases import locate_bundle
    from training.evaluation.evaluate import EvaluationOptions, evaluate
    from training.evaluation.parts.table import PARTS, select_parts
    from training.evaluation.report.local_page import LOCAL_FOLDER

    try:
        chosen = select_parts(parts) if parts else PARTS
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--parts") from fault
    path = locate_bundle(bundle)
    if numbers:
        if not sources:
            raise typer.BadParameter("name the sources to commission with --sources.", param_hint="--commission")
        from training.commissioning.trial import trials_table
        from training.commissioning.worth import try_commissioning

        print(trials_table(try_commissioning(ModelBundle.open(path), data, _names(sources), numbers, draws)))
        return
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


def _refuse(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Raise BadParameter if one of these options was given: ignored without a word, it would seem to apply to the figures."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(why, param_hint=option.opts[0])


def _names(words: str | None) -> list[str]:
    return [word.strip() for word in words.split(",")] if words else []
