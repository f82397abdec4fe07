"""The plots of every evaluation (REPORT Figures 2, 4 and 5)."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from service.model.findings import FINDINGS
from training.evaluation.measures.calibration import ECE_BINS, one_vs_rest_ece, reliability_bins
from training.evaluation.measures.discrimination import one_vs_rest_auc
from training.evaluation.measures.metrics import Judgements
from training.evaluation.report.tables import Values
from training.plots import COLOURS, new_figure, save

CONFUSION_NAME = "confusion_matrix.png"
ROC_NAME = "roc_curves.png"
RELIABILITY_NAME = "reliability.png"
SOURCE_RECALL_NAME = "source_recall.png"


def draw_plots(judgements: Judgements, uncalibrated: Judgements, folder: Path, per_source: Values) -> None:
    """Write confusion matrix, ROC curves, reliability diagrams and recall by source as PNG into `folder`.

    uncalibrated: the same films with the probabilities at temperature 1. per_source: as in metrics.json.
    """
    save(_confusion_matrix(judgements), folder / CONFUSION_NAME)
    save(_roc_curves(judgements), folder / ROC_NAME)
    save(_reliability(judgements, uncalibrated), folder / RELIABILITY_NAME)
    save(_source_recall(per_source), folder / SOURCE_RECALL_NAME)


def _confusion_matrix(judgements: Judgements) -> Figure:
    """Counts of films, coloured by their share of the true class."""
    matrix = judgements.confusion
    shares = matrix.counts / np.maximum(matrix.support[:, None], 1)
    figure = new_figure(5.2, 4.4)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.counts.shape):
        text = f"{matrix.counts[row, column]:.0f}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color="white" if shares[row, column] > 0.5 else "black")
    axes.set_xticks(range(len(FINDINGS)), list(FINDINGS))
    axes.set_yticks(range(len(FINDINGS)), list(FINDINGS), rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix, {matrix.total:.0f} films")
    figure.colorbar(image, ax=axes, label="share of the true class")
    return figure


def _roc_curves(judgements: Judgements) -> Figure:
    areas = one_vs_rest_auc(judgements.labels, judgements.probabilities)
    figure = new_figure(5.2, 4.8)
    axes = figure.subplots()
    for index, finding in enumerate(FINDINGS):
        if np.isnan(areas[index]):
            continue
        false_positive_rate, sensitivity, _ = roc_curve(judgements.labels == index, judgements.probabilities[:, index])
        axes.plot(false_positive_rate, sensitivity, color=COLOURS[index], label=f"{finding.value}, AUC {areas[index]:.3f}")
    _diagonal(axes)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, each class against the others", aspect="equal")
    axes.legend(loc="lower right")
    return figure


def _reliability(judgements: Judgements, uncalibrated: Judgements) -> Figure:
    """One panel a class, before and after temperature scaling; below it the number of films in each bin (after)."""
    ece_before = one_vs_rest_ece(uncalibrated.labels, uncalibrated.probabilities)
    ece_after = one_vs_rest_ece(judgements.labels, judgements.probabilities)
    figure = new_figure(10.5, 4.6)
    panels = figure.subplots(2, len(FINDINGS), sharex=True, height_ratios=(4, 1))
    for index, (finding, colour) in enumerate(zip(FINDINGS, COLOURS, strict=True)):
        diagram, counts = panels[:, index]
        before = reliability_bins(judgements.labels == index, uncalibrated.probabilities[:, index])
        after = reliability_bins(judgements.labels == index, judgements.probabilities[:, index])
        filled = before.count > 0
        label = f"before, ECE {ece_before[index]:.3f}"
        _diagonal(diagram)
        diagram.plot(before.mean_confidence[filled], before.observed[filled], ".:", color="grey", label=label)
        filled = after.count > 0
        claimed, observed = after.mean_confidence[filled], after.observed[filled]
        label = f"after, ECE {ece_after[index]:.3f}"
        diagram.plot(claimed, observed, "o-", color=colour, markersize=4, label=label)
        diagram.fill_between(claimed, claimed, observed, color=colour, alpha=0.2)
        diagram.set(title=finding.value, ylim=(0, 1))
        diagram.legend(fontsize="small", loc="upper left")
        counts.bar((np.arange(ECE_BINS) + 0.5) / ECE_BINS, after.count, width=0.9 / ECE_BINS, color=colour)
        counts.set(xlabel="probability", yscale="log", xlim=(0, 1))
    panels[0, 0].set_ylabel("observed share")
    panels[1, 0].set_ylabel("films")
    return figure


def _source_recall(per_source: Values) -> Figure:
    """A point with its 95 % interval for each class of each source."""
    rows = [
        (f"{source} ({each['support'][finding.value]})", index, each["recall"][finding.value], interval)
        for source, each in per_source.items()
        for index, finding in enumerate(FINDINGS)
        if (interval := each["recall"].get("interval_95", {}).get(finding.value))
    ]
    figure = new_figure(6.4, 1.4 + 0.32 * len(rows))
    axes = figure.subplots()
    for height, (_, index, value, (low, high)) in enumerate(rows):
        axes.plot([low, high], [height, height], color=COLOURS[index], linewidth=2, solid_capstyle="butt", alpha=0.6)
        axes.plot([value], [height], "o", color=COLOURS[index])
    for index, finding in enumerate(FINDINGS):
        axes.plot([], [], "o-", color=COLOURS[index], label=finding.value)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.invert_yaxis()
    axes.set(xlabel="recall, with 95 % interval", xlim=(0, 1.02))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(ncols=len(FINDINGS), loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small", frameon=False)
    return figure


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)
