"""The shortcut audit (Zech et al., arXiv:1807.00431; Geirhos et al., arXiv:2004.07780) as a part of the evaluation."""

from pathlib import Path

from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import without_intervals
from training.evaluation.measures.discrimination import within_source_auc
from training.evaluation.part import Measured, Part
from training.evaluation.parts.shortcuts.masked import (
    describe_masked_films,
    draw_masked_examples,
    draw_masked_films,
    limit_of_masked_films,
    measure_masked_films,
)
from training.evaluation.parts.shortcuts.probes import (
    describe_border,
    describe_source_within_class,
    describe_unseen_sources,
    draw_unseen_sources,
    limit_of_unseen_sources,
    measure_probes,
)
from training.evaluation.report.tables import Values, with_interval
from training.tables import markdown_table


def measure_shortcuts(evidence: Evidence) -> Measured:
    """All answers; None where the evidence lacks what one needs: `masked` a lung segmenter and lungs found, the others training
    films, and `leave_one_source_out` two sources. Example films are drawn into `evidence.local`.
    """
    judgements = evidence.judged().judgements()
    return {
        **measure_probes(evidence),
        "held_out_source": evidence.held_out_source,
        "masked": _measure_masked(evidence),
        "within_source": evidence.bootstrap.measure(
            lambda weights: within_source_auc(judgements.labels, judgements.probabilities, judgements.sources, weights),
            judgements.groups,
        ),
    }


def _measure_masked(evidence: Evidence) -> Measured | None:
    if evidence.lungs is None:
        return None
    measured = measure_masked_films(evidence, evidence.lungs)
    draw_masked_examples(evidence, evidence.lungs)
    return measured


def _paragraphs(values: Measured) -> list[str]:
    return [
        "### Within one source",
        *_describe_within_source(values["within_source"]),
        "### A source left out",
        *describe_unseen_sources(values["leave_one_source_out"], values["held_out_source"]),
        "### Parts of the film hidden",
        *describe_masked_films(values["masked"]),
        "### The source within a class",
        *describe_source_within_class(values["source_within_class"]),
        "### The border alone",
        *describe_border(values["border"]),
    ]


def _describe_within_source(values: Values) -> list[str]:
    rows = [(source, pair, with_interval(each, pair)) for source, each in values.items() for pair in without_intervals(each)]
    if not rows:
        return ["No source holds films of two classes, so that class and source cannot be told apart in these films."]
    lowest = min(rows, key=lambda row: values[row[0]][row[1]])
    return [
        markdown_table(("source", "classes", "AUC (95 % interval)"), rows),
        "Films of one source differ in class but hardly in origin, so that these metrics owe least to the hospital. The "
        f"lowest is {lowest[1]} in {lowest[0]}.",
    ]


def _draw(values: Measured, folder: Path) -> None:
    if values["leave_one_source_out"] is not None:
        draw_unseen_sources(values["leave_one_source_out"], folder)
    if values["masked"] is not None:
        draw_masked_films(values["masked"], folder)


def _limits(values: Measured) -> list[str]:
    unseen, masked = values["leave_one_source_out"], values["masked"]
    return [
        *([] if unseen is None else [limit_of_unseen_sources(unseen)]),
        *([] if masked is None else [limit_of_masked_films(masked)]),
    ]


PART = Part("shortcuts", "Shortcut audit", measure_shortcuts, _paragraphs, _draw, _limits)
