"""The part `shortcuts`: does the bundle use the source instead of the disease?

After Zech et al. (arXiv:1807.00431) and Geirhos et al. (arXiv:2004.07780).
"""

from pathlib import Path

from training.evaluation.evidence import Evidence
from training.evaluation.measures.probes import leave_one_source_out, source_within_class
from training.evaluation.part import Measured, Part
from training.evaluation.parts.shortcuts.masked import (
    describe_masked_films,
    draw_masked_examples,
    draw_masked_films,
    limit_of_masked_films,
    measure_masked_films,
)
from training.evaluation.parts.shortcuts.probes import (
    describe_source_within_class,
    describe_unseen_sources,
    limit_of_unseen_sources,
)


def measure_shortcuts(evidence: Evidence) -> Measured:
    """The values of each check, or None where the evidence lacks what it needs.

    `masked` needs a lung segmenter that finds lungs. `leave_one_source_out` and `source_within_class` need training films, and
    `leave_one_source_out` two sources. Also draws masked example films into `evidence.local`.
    """
    measured = {
        "leave_one_source_out": None,
        "source_within_class": None,
        "held_out_source": evidence.held_out_source,
        "masked": _measure_masked(evidence),
    }
    if evidence.holds("train"):
        fitted, judged = evidence.judged("train").features(), evidence.judged().features()
        measured["leave_one_source_out"] = leave_one_source_out(fitted, judged, evidence.bootstrap)
        measured["source_within_class"] = source_within_class(fitted, judged)
    return measured


def _measure_masked(evidence: Evidence) -> Measured | None:
    if evidence.lungs is None:
        return None
    measured = measure_masked_films(evidence, evidence.lungs)
    draw_masked_examples(evidence, evidence.lungs)
    return measured


def _paragraphs(values: Measured) -> list[str]:
    return [
        "### A source left out",
        *describe_unseen_sources(values["leave_one_source_out"], values["held_out_source"]),
        "### Parts of the film hidden",
        *describe_masked_films(values["masked"]),
        "### The source within a class",
        *describe_source_within_class(values["source_within_class"]),
    ]


def _draw(values: Measured, folder: Path) -> None:
    if values["masked"] is not None:
        draw_masked_films(values["masked"], folder)


def _limits(values: Measured) -> list[str]:
    unseen, masked = values["leave_one_source_out"], values["masked"]
    return [
        *([] if unseen is None else [limit_of_unseen_sources(unseen)]),
        *([] if masked is None else [limit_of_masked_films(masked)]),
    ]


PART = Part("shortcuts", "Shortcut audit", measure_shortcuts, _paragraphs, _draw, _limits)
