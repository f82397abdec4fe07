"""The plots of a commissioning report: ROC curves and calibration, before and after."""

from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from service.model.findings import FINDINGS
from training.commissioning.cases import Acceptance
from training.evaluation.measures.confusion import Floats, Labels
from training.plots import COLOURS, new_figure, save

ROC_NAME = "roc.png"
CALIBRATION_NAME = "calibration.png"

# Fewer than the 15 of ECE, since a site has tens of films.
_BINS = 6

_FLOOR = 1e-12  # keeps the logarithm of a probability of 0 finite


def draw_plots(acceptance: Acceptance, labels: Labels, folder: Path) -> None:
    """Write both plots as PNG. labels: of the films, in the order of the acceptance's arrays."""
    save(_roc_curves(acceptance, labels), folder / ROC_NAME)
    save(_calibration(acceptance, labels), folder / CALIBRATION_NAME)


def _roc_curves(acceptance: Acceptance, labels: Labels) -> Figure:
    """One panel for each pair of classes that have films, by the difference of their logits."""
    pairs = list(combinations(np.unique(labels), 2))
    figure = new_figure(4.2 * len(pairs), 4.4)
    for axes, (first, second) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        chosen = (labels == first) | (labels == second)
        for name, probabilities, style in _answers(acceptance):
            log = np.log(np.maximum(probabilities[chosen], _FLOOR))
            difference, truth = log[:, second] - log[:, first], labels[chosen] == second
            false_positives, sensitivity, _ = roc_curve(truth, difference)
            area = roc_auc_score(truth, difference)
            axes.plot(false_positives, sensitivity, style, color=_colour(name, second), label=f"{name}, AUC {area:.3f}")
        axes.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)
        axes.set(
            xlabel="1 - specificity", ylabel="sensitivity", aspect="equal",
            title=f"{FINDINGS[second]} against {FINDINGS[first]}",
        )  # fmt: skip
        axes.legend(loc="lower right", fontsize="small")
    return figure


def _calibration(acceptance: Acceptance, labels: Labels) -> Figure:
    """Reliability diagram of the largest probability, with the same number of films in each bin."""
    figure = new_figure(5.2, 4.8)
    axes = figure.subplots()
    for name, probabilities, style in _answers(acceptance):
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        bins = np.array_split(np.argsort(confidence, kind="stable"), min(_BINS, len(labels)))
        claimed, observed = ([float(values[each].mean()) for each in bins] for values in (confidence, right))
        axes.plot(claimed, observed, style, marker="o", markersize=4, color=_colour(name, 0), label=name)
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)
    axes.set(xlabel="probability of the finding that is called", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    return figure


def _answers(acceptance: Acceptance) -> tuple[tuple[str, Floats, str], ...]:
    return ("before", acceptance.probabilities_before, ":"), ("after", acceptance.probabilities_after, "-")


def _colour(name: str, index: int) -> str:
    return "grey" if name == "before" else COLOURS[index]
