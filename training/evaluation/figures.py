"""Pictures of an evaluation (REPORT Figures 2, 4 and 5), drawn without a display and without global plotting state."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from service.contract.findings import FINDINGS
from training.evaluation.calibration import ECE_BINS, one_vs_rest_ece, reliability_bins
from training.evaluation.discrimination import one_vs_rest_auc
from training.evaluation.metrics import Judgements

CONFUSION_NAME = "confusion_matrix.png"
ROC_NAME = "roc_curves.png"
RELIABILITY_NAME = "reliability.png"

_DOTS_PER_INCH = 120
_COLOURS = ("#2c7fb8", "#d95f0e", "#756bb1")  # apart in hue and in lightness, so that they survive grey print


def draw_figures(judgements: Judgements, folder: Path) -> tuple[Path, ...]:
    """Write confusion matrix, ROC curves and reliability diagrams as PNG into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _save(_confusion_matrix(judgements), folder / CONFUSION_NAME),
        _save(_roc_curves(judgements), folder / ROC_NAME),
        _save(_reliability(judgements), folder / RELIABILITY_NAME),
    )


def _confusion_matrix(judgements: Judgements) -> Figure:
    """Counts, coloured by the share of the true class."""
    matrix = judgements.confusion
    shares = matrix.counts / np.maximum(matrix.support[:, None], 1)
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
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
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.subplots()
    for index, finding in enumerate(FINDINGS):
        if np.isnan(areas[index]):
            continue
        false_positives, sensitivity, _ = roc_curve(judgements.labels == index, judgements.probabilities[:, index])
        axes.plot(false_positives, sensitivity, color=_COLOURS[index], label=f"{finding.value}, AUC {areas[index]:.3f}")
    _diagonal(axes)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, each class against the others", aspect="equal")
    axes.legend(loc="lower right")
    return figure


def _reliability(judgements: Judgements) -> Figure:
    """One panel a class; the bars below show how many films a bin holds."""
    errors = one_vs_rest_ece(judgements.labels, judgements.probabilities)
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    panels = figure.subplots(2, len(FINDINGS), sharex=True, height_ratios=(4, 1))
    for index, finding in enumerate(FINDINGS):
        claims, films = panels[0, index], panels[1, index]
        bins = reliability_bins(judgements.labels == index, judgements.probabilities[:, index])
        filled = bins.count > 0
        _diagonal(claims)
        claims.plot(bins.mean_confidence[filled], bins.observed[filled], "o-", color=_COLOURS[index], markersize=4)
        claims.fill_between(
            bins.mean_confidence[filled], bins.mean_confidence[filled], bins.observed[filled], color=_COLOURS[index], alpha=0.2
        )
        claims.set(title=f"{finding.value}, ECE {errors[index]:.3f}", ylim=(0, 1))
        films.bar((np.arange(ECE_BINS) + 0.5) / ECE_BINS, bins.count, width=0.9 / ECE_BINS, color=_COLOURS[index])
        films.set(xlabel="probability", yscale="log", xlim=(0, 1))
    panels[0, 0].set_ylabel("observed share")
    panels[1, 0].set_ylabel("films")
    return figure


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    # The version of the drawing library is left out, so that equal figures make equal files.
    figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return path
