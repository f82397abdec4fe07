"""Linear probes: on embeddings in a source left out, on embeddings for the source, and on borders for the class."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from service.film.preprocessing import PreprocessSpec, resize_stretched
from service.model.findings import FINDINGS
from training.data.folder import FilmFile
from training.data.parallel import each_of
from training.evaluation.evidence import Evidence
from training.evaluation.judging.altered import read_film
from training.evaluation.judging.masking import border
from training.evaluation.measures.bootstrap import without_intervals
from training.evaluation.measures.probes import class_within_sources, leave_one_source_out, source_within_class
from training.evaluation.part import Measured
from training.evaluation.report.plots import error_bars
from training.evaluation.report.tables import Values, number, with_interval
from training.plots import new_figure, save
from training.tables import markdown_table, picture

PROBES = ("leave_one_source_out", "source_within_class", "border")

PLOT_NAME = "leave_one_source_out.png"

# Of the copy whose border is read: small enough to hold no anatomy in the ring, large enough for a marker or a collimator edge.
SIDE_PX = 32

# Mean recall that a probe may lose because it has fewer films to fit on.
_TOLERATED_LOSS = 0.02


def measure_probes(evidence: Evidence) -> Measured:
    """A value for each of PROBES, fitted on the training split and judged on the evaluated one; None without training films."""
    if not evidence.holds("train"):
        return dict.fromkeys(PROBES)
    fitted, judged = evidence.judged("train"), evidence.judged()
    spec, bootstrap = evidence.predictor.manifest.preprocess, evidence.bootstrap
    fitted_rings, rings = (
        _border_rings([each.film for each in split.judged], spec, evidence.threads) for split in (fitted, judged)
    )
    from_border = class_within_sources(fitted.features(fitted_rings), judged.features(rings), bootstrap)
    answers = (
        leave_one_source_out(fitted.features(), judged.features(), bootstrap),
        source_within_class(fitted.features(), judged.features()),
        from_border and {"side_px": SIDE_PX, "pixels": rings.shape[1], **from_border},
    )
    return dict(zip(PROBES, answers, strict=True))


def _border_rings(films: Sequence[FilmFile], spec: PreprocessSpec, threads: int) -> npt.NDArray[np.float32]:
    """The outer ring of each film's SIDE_PX x SIDE_PX copy, grey levels 0..255, float32 [N, pixels]."""
    ring = border((SIDE_PX, SIDE_PX))

    def read(film: FilmFile) -> npt.NDArray[np.float32]:
        return resize_stretched(read_film(film, spec).pixels, SIDE_PX)[ring].astype(np.float32)

    return np.stack(list(each_of(films, read, threads=threads, title="Reading borders")))


def describe_unseen_sources(values: Values | None, held_out: str) -> list[str]:
    """Recall in sources left out, beside that with the source; held_out: the source that the bundle was trained without."""
    if values is None:
        return ["Not measured: there are no training films, the films are of one source, or no class is held by two."]
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
    paragraphs = [
        markdown_table(("source left out", "class", "films", "recall (95 % interval)", "recall with the source"), rows),
        f"A linear probe on the embeddings of {values['fitted_films']} training films, fitted without the source that it then "
        f"judges. What it knows of the disease should hold there; on average {with_interval(values, 'mean_loss')} of recall is "
        f"lost, most for {name} in {source} ({each['recall_source_known'][name]:.3f} to {each['recall'][name]:.3f}). The "
        f"backbone itself was trained with every source{f' but {held_out}' if held_out else ''}: in a hospital that nothing "
        "here has seen, expect less.",
        picture("Recall in a source left out", PLOT_NAME),
    ]
    if areas:
        paragraphs += [
            "How well the same probes rank two classes of the source left out, whatever the threshold:",
            markdown_table(("source left out", "classes", "AUC (95 % interval)"), areas),
        ]
    return paragraphs


def describe_source_within_class(values: Values | None) -> list[str]:
    """How well the source can be told among films of one class."""
    if values is None:
        return ["Not measured: the data have no films of the train split, which a probe is fitted on."]
    if not values:
        return ["Not measured: no class is held by two sources."]
    rows = [
        (name, str(each["films"]), ", ".join(each["sources"]), number(each["balanced_accuracy"]), number(each["chance"]))
        for name, each in values.items()
    ]
    mean = np.mean([(each["balanced_accuracy"] - each["chance"]) / (1 - each["chance"]) for each in values.values()])
    return [
        markdown_table(("class", "films", "sources", "balanced accuracy", "chance"), rows),
        f"Among films of one class a linear probe tells the source from the embedding {mean:.0%} of the way from chance to "
        "certainty. This measures how strongly the embedding encodes the hospital; whether the classifier uses it, the other "
        "tables measure.",
    ]


def describe_border(values: Values | None) -> list[str]:
    """How well the class can be told from the border."""
    if values is None:
        return ["Not measured: this needs films of two classes, in the train split too."]
    rows = [("all", "each against the others", with_interval(values, "macro_auc"), "-")]
    own = values.get("within_source_own", {})
    rows += [
        (source, pair, with_interval(each, pair), with_interval(own.get(source, {}), pair))
        for source, each in values.get("within_source", {}).items()
        for pair in without_intervals(each)
    ]
    return [
        markdown_table(("source", "classes", "AUC (95 % interval)", "fitted on the source alone"), rows),
        f"A linear probe that sees only the {values['pixels']} border pixels of a {values['side_px']} px copy, and hardly "
        f"a lung, reaches a macro AUC of {values['macro_auc']:.3f}. This measures what the borders give away, not "
        "what the bundle uses: the bundle reads more than the border only as far as its AUC exceeds this.",
    ]


def draw_unseen_sources(values: Values, folder: Path) -> None:
    """Recall of each class in each source, by the probe with the source and by that without it."""
    cells = list(_cells(values))
    figure = new_figure(8.0, 4.2)
    axes: Axes = figure.subplots()
    positions = np.arange(len(cells))
    for shift, name, label, colour in (
        (-0.2, "recall_source_known", "source known", "#bdbdbd"),
        (0.2, "recall", "source left out", "#2c7fb8"),
    ):
        recalls = [each[name][finding] for _, each, finding in cells]
        intervals = [each[name]["interval_95"][finding] for _, each, finding in cells]
        axes.bar(positions + shift, recalls, 0.4, color=colour, label=label, yerr=error_bars(recalls, intervals), capsize=2)
    axes.set_xticks(positions, [f"{source}\n{finding}" for source, _, finding in cells], rotation=30, ha="right")
    axes.set(ylabel="recall", ylim=(0, 1.02), title="A linear probe in sources that it knows, and has not seen")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    save(figure, folder / PLOT_NAME)


def limit_of_unseen_sources(values: Values) -> str:
    """A sentence for the model card."""
    is_lost = values["interval_95"]["mean_loss"][0] > _TOLERATED_LOSS
    return (
        f"A linear probe on the embeddings recalls {values['mean_recall']:.3f} of the films of a source that it has not "
        f"seen, against {values['mean_recall_source_known']:.3f} when it has (means over sources and classes)"
        + (": part of what the model knows is the hospital." if is_lost else ".")
    )


def _cells(values: Values) -> Iterator[tuple[str, Values, str]]:
    """(source left out, its values, class)."""
    for source, each in values["per_source"].items():
        for name in (finding.value for finding in FINDINGS if finding.value in each["recall"]):
            yield source, each, name
