"""The shortcut audit (Zech et al., arXiv:1807.00431; Geirhos et al., arXiv:2004.07780): lungs, or the hospital?

Each question is answered by a module of its own; this one asks them, and puts the answers into words and pictures.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from service.model.findings import FINDINGS
from training.evaluation.judging.masked import EXCHANGED, WHOLE, draw_masked_examples, measure_masked_films
from training.evaluation.measures.border_probe import border_rings, class_from_border
from training.evaluation.measures.intervals import interval_figures, without_intervals
from training.evaluation.measures.masking import BORDER_ONLY, BORDER_SHARE, LUNGS_HIDDEN, OUTLINE_ALONE
from training.evaluation.measures.source_probes import Embedded, leave_one_source_out, source_within_class
from training.evaluation.measures.within_source import within_source_auc
from training.evaluation.part import Evidence, Measured, Part
from training.evaluation.report.tables import Figures, number, picture, with_interval
from training.plots import new_figure, save
from training.tables import markdown_table

UNSEEN_NAME = "leave_one_source_out.png"
MASKED_NAME = "masked_films.png"
EXAMPLES_NAME = "masked_films.png"

_PROBED = ("leave_one_source_out", "source_within_class", "border")

_WITHOUT_TRAINING_FILMS = "Not measured: the data have no films of the train split, which a probe is fitted on."

# Macro AUC that signs outside the lungs (heart size, effusion over the diaphragm, drains) may honestly give.
_TOLERATED_WITHOUT_LUNGS = 0.7

# Mean recall that fewer films to fit on may honestly cost a probe.
_TOLERATED_LOSS = 0.02


def measure_shortcuts(evidence: Evidence) -> Measured:
    """All answers; None where the evidence lacks what one needs: `masked` a lung segmenter and lungs found, the others training
    films, and `leave_one_source_out` two sources.

    Probes are fitted on the training split and judged on the evaluated one; the backbone behind the embeddings has been
    trained with every source. Masked example films are drawn into evidence.local.
    """
    seed, resamples = evidence.seed, evidence.resamples
    judged = evidence.judged()
    judgements = judged.judgements()
    return {
        **(_of_probes(evidence) if evidence.holds("train") else dict.fromkeys(_PROBED)),
        "held_out_source": evidence.held_out_source,
        "masked": _of_masked_films(evidence),
        "within_source": interval_figures(
            lambda weights: within_source_auc(judgements.labels, judgements.probabilities, judgements.sources, weights),
            judgements.groups,
            seed=seed,
            resamples=resamples,
        ),
    }


def _of_probes(evidence: Evidence) -> Measured:
    """What probes say that were fitted on the training split: a value for each of `_PROBED`."""
    seed, resamples = evidence.seed, evidence.resamples
    fitted, judged = evidence.judged("train"), evidence.judged()
    spec = evidence.predictor.manifest.preprocess
    fitted_rings, rings = (
        border_rings([each.film for each in split.judged], spec, threads=evidence.threads) for split in (fitted, judged)
    )
    answers = (
        leave_one_source_out(Embedded.of(fitted), Embedded.of(judged), seed=seed, resamples=resamples),
        source_within_class(Embedded.of(fitted), Embedded.of(judged)),
        class_from_border(fitted_rings, fitted.judgements(), rings, judged.judgements(), seed=seed, resamples=resamples),
    )
    return dict(zip(_PROBED, answers, strict=True))


def _of_masked_films(evidence: Evidence) -> Measured | None:
    judged, lungs = evidence.judged(), evidence.lungs
    if lungs is None:
        return None
    predictor, seed = evidence.predictor, evidence.seed
    measured = measure_masked_films(predictor, judged, lungs, threads=evidence.threads, seed=seed, resamples=evidence.resamples)
    draw_masked_examples(judged, lungs, predictor.manifest.preprocess, evidence.local / EXAMPLES_NAME, seed=seed)
    return measured


def describe_shortcuts(values: Measured) -> str:
    """The five answers, each a table and what follows from it."""
    return "\n\n".join(
        [
            "### Within one source",
            _describe_within_source(values["within_source"]),
            "### A source left out",
            _describe_unseen(values["leave_one_source_out"], values["held_out_source"]),
            "### Parts of the film hidden",
            _describe_masked(values["masked"]),
            "### The source within a class",
            _describe_source_within_class(values["source_within_class"]),
            "### The border alone",
            _describe_border(values["border"]),
        ]
    )


def draw_shortcuts(values: Measured, folder: Path) -> None:
    """Recall in sources that the probe has not seen, and AUC on masked films, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    if values["leave_one_source_out"] is not None:
        _draw_unseen(values["leave_one_source_out"], folder / UNSEEN_NAME)
    if values["masked"] is not None:
        _draw_masked(values["masked"], folder / MASKED_NAME)


def _describe_within_source(values: Figures) -> str:
    rows = [(source, pair, with_interval(each, pair)) for source, each, pair in _pairs(values)]
    if not rows:
        return "No source holds films of two classes, so that class and source cannot be told apart in these films."
    lowest = min(rows, key=lambda row: values[row[0]][row[1]])
    return "\n\n".join(
        [
            markdown_table(("source", "classes", "AUC (95 % interval)"), rows),
            "Films of one source differ in class but hardly in origin, so that these figures owe least to the hospital. The "
            f"lowest is {lowest[1]} in {lowest[0]}.",
        ]
    )


def _describe_unseen(values: Figures | None, held_out: str) -> str:
    if values is None:
        return "Not measured: there are no training films, the films are of one source, or no class is held by two."
    cells = list(_cells(values))
    rows = [
        (
            source,
            name,
            str(each["support"][name]),
            with_interval(each["recall"], name),
            number(each["recall_source_known"][name]),
        )
        for source, each, name in cells
    ]
    rows.append(("mean", "", "", with_interval(values, "mean_recall"), number(values["mean_recall_source_known"])))
    areas = [
        (source, pair, with_interval(each["auc"], pair))
        for source, each in values["per_source"].items()
        for pair in without_intervals(each.get("auc", {}))
    ]
    source, each, name = max(cells, key=lambda cell: cell[1]["recall_source_known"][cell[2]] - cell[1]["recall"][cell[2]])
    parts = [
        markdown_table(("source left out", "class", "films", "recall (95 % interval)", "recall with the source"), rows),
        f"A linear probe on the embeddings of {values['fitted_films']} training films, fitted without the source that it then "
        f"judges. What it knows of the disease should hold there; on average {with_interval(values, 'mean_loss')} of recall is "
        f"lost, most for {name} in {source} ({each['recall_source_known'][name]:.3f} to {each['recall'][name]:.3f}). The "
        f"backbone itself was trained with every source{f' but {held_out}' if held_out else ''}: in a hospital that nothing "
        "here has seen, expect less.",
        picture("Recall in a source left out", UNSEEN_NAME),
    ]
    if areas:
        parts += [
            "How well the same probes rank two classes of the source left out, whatever the threshold:",
            markdown_table(("source left out", "classes", "AUC (95 % interval)"), areas),
        ]
    return "\n\n".join(parts)


def _describe_masked(values: Figures | None) -> str:
    if values is None:
        return "Not measured: this needs a lung segmenter, and lungs found in films of two classes."
    variants = values["variants"]
    pairs = [(source, pair) for source, _, pair in _pairs(variants[WHOLE].get("within_source", {}))]
    rows = [
        (
            name,
            with_interval(each, "macro_auc"),
            *(number(each["within_source"][source][pair]) for source, pair in pairs),
        )
        for name, each in variants.items()
    ]
    whole = variants[WHOLE]["macro_auc"]
    best = max(LUNGS_HIDDEN, key=lambda name: variants[name]["macro_auc"])
    worst = min(LUNGS_HIDDEN, key=lambda name: variants[name]["macro_auc"])
    left = (variants[best]["macro_auc"] - 0.5) / (whole - 0.5) if whole > 0.5 else float("nan")
    return "\n\n".join(
        [
            markdown_table(("film", "macro AUC (95 % interval)", *(f"{source}: {pair}" for source, pair in pairs)), rows),
            f"{values['films']} films; {values['left_out']} more are left out, for want of a complete outline. With the lungs "
            f"hidden the bundle reaches {variants[worst]['macro_auc']:.3f} to {variants[best]['macro_auc']:.3f}, depending on "
            f"the fill, against {whole:.3f} on whole films: {left:.0%} of what it scores above chance can be had without a "
            f"lung. The outer ring ({BORDER_SHARE:.0%} of each side) gives {variants[BORDER_ONLY]['macro_auc']:.3f}. Chance is "
            "0.5; part of the rest is the outline of the lungs, which by itself gives "
            f"{variants[OUTLINE_ALONE]['macro_auc']:.3f}, and true signs outside of it.",
            f"With lungs and surroundings of two films drawn independently (`{EXCHANGED}`), the class of the surroundings is "
            f"told with a macro AUC of {with_interval(variants[EXCHANGED], 'macro_auc')}, that of the lungs with "
            f"{with_interval(values, 'exchanged_lungs_macro_auc')}: {_heavier(values)}.",
            picture("AUC on masked films", MASKED_NAME),
        ]
    )


def _heavier(values: Figures) -> str:
    """Whether lungs or surroundings weigh more, if their intervals say so."""
    surroundings = values["variants"][EXCHANGED]["interval_95"]["macro_auc"]
    lungs = values["interval_95"]["exchanged_lungs_macro_auc"]
    if None in (*surroundings, *lungs) or (lungs[0] <= surroundings[1] and surroundings[0] <= lungs[1]):
        return "which of them weighs more cannot be told"
    return f"the {'lungs' if lungs[0] > surroundings[1] else 'surroundings'} weigh more"


def _describe_source_within_class(values: Figures | None) -> str:
    if values is None:
        return _WITHOUT_TRAINING_FILMS
    if not values:
        return "Not measured: no class is held by two sources."
    rows = [
        (name, str(each["films"]), ", ".join(each["sources"]), number(each["balanced_accuracy"]), number(each["chance"]))
        for name, each in values.items()
    ]
    mean = np.mean([(each["balanced_accuracy"] - each["chance"]) / (1 - each["chance"]) for each in values.values()])
    return "\n\n".join(
        [
            markdown_table(("class", "films", "sources", "balanced accuracy", "chance"), rows),
            f"Among films of one class a linear probe tells the source from the embedding {mean:.0%} of the way from chance to "
            "certainty. The embedding holds the hospital; whether the classifier uses it is what the other tables ask.",
        ]
    )


def _describe_border(values: Figures | None) -> str:
    if values is None:
        return "Not measured: this needs films of two classes, in the train split too."
    rows = [("all", "each against the others", with_interval(values, "macro_auc"), "-")]
    own = values.get("within_source_own", {})
    rows += [
        (source, pair, with_interval(each, pair), with_interval(own.get(source, {}), pair))
        for source, each, pair in _pairs(values.get("within_source", {}))
    ]
    return "\n\n".join(
        [
            markdown_table(("source", "classes", "AUC (95 % interval)", "fitted on the source alone"), rows),
            f"A linear probe that sees only the {values['pixels']} border pixels of a {values['side_px']} px copy, and hardly "
            f"a lung, reaches a macro AUC of {values['macro_auc']:.3f}. It says how much these films give away, not what the "
            "bundle uses: a score of the bundle is worth what it lies above this.",
        ]
    )


def _pairs(by_source: Figures) -> Iterator[tuple[str, Figures, str]]:
    """(source, its figures, pair of classes)."""
    for source, each in by_source.items():
        for pair in without_intervals(each):
            yield source, each, pair


def _cells(values: Figures) -> Iterator[tuple[str, Figures, str]]:
    """(source left out, its figures, class)."""
    for source, each in values["per_source"].items():
        for name in (finding.value for finding in FINDINGS if finding.value in each["recall"]):
            yield source, each, name


def _draw_unseen(values: Figures, path: Path) -> None:
    cells = list(_cells(values))
    figure = new_figure(8.0, 4.2)
    axes: Axes = figure.subplots()
    places = np.arange(len(cells))
    for shift, name, label, colour in (
        (-0.2, "recall_source_known", "source known", "#bdbdbd"),
        (0.2, "recall", "source left out", "#2c7fb8"),
    ):
        recalls = [each[name][finding] for _, each, finding in cells]
        intervals = [each[name]["interval_95"][finding] for _, each, finding in cells]
        axes.bar(places + shift, recalls, 0.4, color=colour, label=label, yerr=_error_bars(recalls, intervals), capsize=2)
    axes.set_xticks(places, [f"{source}\n{finding}" for source, _, finding in cells], rotation=30, ha="right")
    axes.set(ylabel="recall", ylim=(0, 1.02), title="A linear probe in sources that it knows, and has not seen")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    save(figure, path)


def _draw_masked(values: Figures, path: Path) -> None:
    variants = values["variants"]
    names = list(variants)
    pairs = [(source, pair) for source, _, pair in _pairs(variants[WHOLE].get("within_source", {}))]
    figure = new_figure(8.0, 4.6)
    axes: Axes = figure.subplots()
    places = np.arange(len(names))
    areas = [variants[name]["macro_auc"] for name in names]
    intervals = [variants[name]["interval_95"]["macro_auc"] for name in names]
    axes.bar(places, areas, 0.7, color="#9ecae1", label="macro AUC", yerr=_error_bars(areas, intervals), capsize=3)
    for (source, pair), marker in zip(pairs, "osD^vP*X" * len(pairs), strict=False):
        inside = [variants[name]["within_source"][source][pair] for name in names]
        axes.plot(places, inside, marker, markersize=5, label=f"{source}: {pair}")
    axes.axhline(0.5, linestyle="--", color="grey", linewidth=1)
    axes.set_xticks(places, names, rotation=30, ha="right")
    axes.set(ylabel="AUC", ylim=(0.3, 1.02), title=f"Parts of the film hidden, {values['films']} films")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    save(figure, path)


def _error_bars(values: list[float], intervals: list[list[float]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Distances to the lower and the upper bound, [2, N], as matplotlib wants them."""
    centre, bounds = np.array(values), np.array(intervals)
    return np.stack([centre - bounds[:, 0], bounds[:, 1] - centre])


def _limits(values: Measured) -> list[str]:
    """What the model card must say of it."""
    sentences = []
    unseen, masked = values["leave_one_source_out"], values["masked"]
    if unseen is not None:
        is_lost = unseen["interval_95"]["mean_loss"][0] > _TOLERATED_LOSS
        sentences.append(
            f"A linear probe on the embeddings recalls {unseen['mean_recall']:.3f} of the films of a source that it has not "
            f"seen, against {unseen['mean_recall_source_known']:.3f} when it has (means over sources and classes)"
            + (": part of what the model knows is the hospital." if is_lost else ".")
        )
    if masked is not None:
        hidden = [masked["variants"][name]["macro_auc"] for name in LUNGS_HIDDEN]
        sentences.append(
            f"With the lungs hidden, the macro AUC is still {min(hidden):.3f} to {max(hidden):.3f} (whole films: "
            f"{masked['variants'][WHOLE]['macro_auc']:.3f}): much of the score can be had without looking at a lung."
            if max(hidden) > _TOLERATED_WITHOUT_LUNGS
            else f"With the lungs hidden, the macro AUC falls to {min(hidden):.3f} to {max(hidden):.3f}."
        )
    return sentences


def _films(evidence: Evidence) -> float:
    """Training films are judged and their borders read; of each film nine copies are judged, one of them inpainted."""
    return 2 * evidence.count("train") + evidence.count() * (18 if evidence.lungs else 1)


PART = Part("shortcuts", "Shortcut audit", measure_shortcuts, describe_shortcuts, draw_shortcuts, _limits, films=_films)
