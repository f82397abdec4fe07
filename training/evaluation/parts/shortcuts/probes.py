"""What linear probes on embeddings show: of the class in a source left out, and of the source."""

from collections.abc import Iterator

import numpy as np

from service.model.findings import FINDINGS
from training.evaluation.report.tables import Values, number, with_interval
from training.tables import markdown_table

# Mean recall that a probe may lose because it has fewer films to fit on.
_TOLERATED_LOSS = 0.02


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
    source, each, name = max(cells, key=lambda cell: cell[1]["recall_source_known"][cell[2]] - cell[1]["recall"][cell[2]])
    return [
        markdown_table(("source left out", "class", "films", "recall (95 % interval)", "recall with the source"), rows),
        f"A linear probe on the embeddings of {values['fitted_films']} training films, fitted without the source that it then "
        f"judges. What it knows of the disease should hold there; on average {with_interval(values, 'mean_loss')} of recall is "
        f"lost, most for {name} in {source} ({each['recall_source_known'][name]:.3f} to {each['recall'][name]:.3f}). The "
        f"backbone itself was trained with every source{f' but {held_out}' if held_out else ''}: in a hospital that nothing "
        "here has seen, expect less.",
    ]


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
