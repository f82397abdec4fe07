"""What linear probes on embeddings show, in words: the class in a source left out, and the source within a class."""

from collections.abc import Iterator

import numpy as np

from service.model.findings import FINDINGS
from training.evaluation.report.tables import Values, number, with_interval
from training.tables import markdown_table

# Mean recall that a probe may lose merely because it has fewer films to fit on.
_TOLERATED_LOSS = 0.02


def describe_unseen_sources(values: Values | None, held_out: str) -> list[str]:
    """Recall in sources left out, beside that with the source. held_out: the sources that the bundle was trained without."""
    if values is None:
        return ["Not measured: this needs training films, and a class that two sources hold."]
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
    source, each, name = max(cells, key=lambda cell: cell[1]["recall_source_known"][cell[2]] - cell[1]["recall"][cell[2]])
    return [
        markdown_table(("source left out", "class", "films", "recall (95 % interval)", "recall with the source"), rows),
        f"A linear probe on the embeddings of {values['fitted_films']} training films, fitted without the source that it then "
        f"judges. Knowledge of the disease should carry over; on average {with_interval(values, 'mean_loss')} of recall is "
        f"lost, most for {name} in {source} (from {each['recall_source_known'][name]:.3f} to {each['recall'][name]:.3f}). But "
        f"the backbone was trained with every source{f' but {held_out}' if held_out else ''}: expect less in a new hospital.",
    ]


def describe_source_within_class(values: Values | None) -> list[str]:
    """How well a probe predicts the source among films of one class."""
    if values is None:
        return ["Not measured: the data have no films of the train split, which a probe is fitted on."]
    if not values:
        return ["Not measured: no two sources hold the same class."]
    rows = [
        (name, str(each["films"]), ", ".join(each["sources"]), number(each["balanced_accuracy"]), number(each["chance"]))
        for name, each in values.items()
    ]
    mean = np.mean([(each["balanced_accuracy"] - each["chance"]) / (1 - each["chance"]) for each in values.values()])
    return [
        markdown_table(("class", "films", "sources", "balanced accuracy", "chance"), rows),
        "Among films of one class a linear probe predicts the source from the embedding; its balanced accuracy is "
        f"{mean:.0%} of the way from chance to 1. This measures how strongly the embedding encodes the hospital; whether the "
        "classifier uses it, the other tables measure.",
    ]


def limit_of_unseen_sources(values: Values) -> str:
    """A sentence for the model card."""
    is_lost = values["interval_95"]["mean_loss"][0] > _TOLERATED_LOSS
    return (
        f"A linear probe on the embeddings has a mean recall of {values['mean_recall']:.3f} in sources that it has not seen, "
        f"against {values['mean_recall_source_known']:.3f} in sources that it has"
        + (": part of what the model knows is the hospital." if is_lost else ".")
    )


def _cells(values: Values) -> Iterator[tuple[str, Values, str]]:
    """Yield (source left out, its values, class) for each recall."""
    for source, each in values["per_source"].items():
        for name in (finding.value for finding in FINDINGS if finding.value in each["recall"]):
            yield source, each, name
