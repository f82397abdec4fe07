"""The report in Markdown, from the values of metrics.json alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from export.calibration import TB_SCREENING
from service.model.findings import FINDINGS
from training.commissioning.report.outcome import UNLABELLED, label
from training.commissioning.report.plots import CALIBRATION_NAME, ROC_NAME
from training.commissioning.report.worst import WORST_NAME
from training.evaluation.report.local_page import LOCAL_FOLDER
from training.evaluation.report.tables import INTERVAL_NOTE, with_interval
from training.tables import UNDEFINED, markdown_table, percent, picture

Values = Mapping[str, Any]

_MEASURES = {
    "macro_auc": "AUC between the classes",
    "accuracy": "accuracy",
    "ece": "top-label ECE",
    "log_loss": "log loss",
    "coverage": "sets hold the truth",
    "set_size": "findings in a set",
    "review_rate": "films flagged for review",
    "errors_flagged": "errors that are flagged",
}
_OF_A_CLASS = {"sensitivity": "sensitivity", "specificity": "specificity", "coverage": "sets hold the truth"}

_LIMITS = (
    "For research use only. Commissioning does not make a medical device of the model.",
    "The figures hold for films like these: this equipment, these patients, this mix of classes. Commission again with a new "
    "scanner, a new bundle, or after a drift alert.",
    "The profile answers Normal, Pneumonia or Tuberculosis. Films of other diseases get one of these three all the same.",
    "A label that is wrong here is wrong in the profile. The figures are only as good as the labels.",
    "Films chosen by hand, such as those that were reported back, are not a random sample of the site's films.",
)


def render_report(metrics: Values) -> str:
    """The whole report, with links to the plots."""
    return "\n\n".join([*_head(metrics), *_films(metrics), *_measured(metrics), *_unlabelled(metrics), *_end(metrics)]) + "\n"


def _head(metrics: Values) -> Iterator[str]:
    bundle, site = metrics["bundle"], metrics["site"]
    yield f"# Commissioning of {bundle['name']} {bundle['version']} at {site['name']}, number {site['version']}"
    yield f"**{metrics['verdict']}**"
    yield from (f"> **Warning.** {warning}" for warning in metrics["warnings"])
    yield f"Made {metrics['created_at']} by:"
    yield f"```\n{metrics['command']}\n```"
    yield "## The profile"
    name = metrics["profile"]
    yield f"Written as `{name}`." if name else "No profile was written."
    rows = [(label(part), "yes" if each["written"] else "no", each["reason"]) for part, each in metrics["parts"].items()]
    yield markdown_table(("part", "written", "why"), rows, words=3)
    yield "A part that is not written stays as it is in the bundle."


def _films(metrics: Values) -> Iterator[str]:
    films = metrics["films"]
    yield "## Films"
    rows = [(name, str(count)) for name, count in films["by_finding"].items()]
    rows += [(f"left out: {reason}", str(count)) for reason, count in films["left_out"].items()]
    rows += [(f"left out: class {name}", str(count)) for name, count in films["classes_left_out"].items()]
    yield markdown_table(("films", "number"), rows)
    if films["left_out"]:
        yield f"`{LOCAL_FOLDER}/left_out.csv` names the films that were left out, each with its reason."
    if metrics["verified"]:
        labelled = sum(count for name, count in films["by_finding"].items() if name != UNLABELLED)
        unknown = labelled - films["with_known_patient"]
        yield f"The {labelled} labelled films are of {films['patients']} patients." + (
            f" The patient of {unknown} of them is unknown, so each counts as a patient of its own. If some are of the same "
            "patient, the figures are too good and the intervals too narrow: give the column `patient` of labels.csv."
            if unknown
            else ""
        )
    flagged = ", ".join(f"{label(reason)} {percent(share)}" for reason, share in films["flagged"].items())
    yield f"Flagged by the bundle because of the picture: {flagged}."


def _measured(metrics: Values) -> Iterator[str]:
    if (found := metrics["acceptance"]) is None:
        return
    yield "## Before and after"
    yield (
        "Before: the bundle as it is released. After: with the profile's parts that are written. All figures after come from "
        "nested cross-validation by patient: no film judges what was fitted to it or to another film of its patient. Which "
        "parts are written is decided by these same figures, which makes them slightly too good. In brackets: 95 % bootstrap "
        "intervals over patients; those of the difference are paired."
    )
    columns = ("before", "after", "difference")
    header = ("", "before", "after", "difference")
    rows = [(title, *(with_interval(found[column], name) for column in columns)) for name, title in _MEASURES.items()]
    yield markdown_table(header, rows)
    yield INTERVAL_NOTE
    yield "At the operating point `balanced`, if no other is named:"
    yield markdown_table(header, _class_rows(found))
    yield picture("ROC curves", ROC_NAME)
    yield picture("Calibration", CALIBRATION_NAME)
    yield "### Where it fails"
    errors = [(f"{each['truth']} called {each['called']}", str(each["before"]), str(each["after"])) for each in found["errors"]]
    yield markdown_table(("error", "before", "after"), errors) if errors else "No film is misclassified."
    if errors:
        yield f"`{LOCAL_FOLDER}/{WORST_NAME}` shows the worst of them with Grad-CAM. It shows patients: do not pass it on."
    yield "### How many films a useful interval takes"
    yield "For an interval of ±0.05 around the sensitivity that the release has for each class:"
    used = metrics["films"]["by_finding"]
    rows = [(name, str(used.get(name, 0)), str(needed)) for name, needed in found["films_needed"].items()]
    yield markdown_table(("class", "films used", "films needed"), rows)
    yield "### Unlike the training films"
    yield (
        f"{_share(found['unlike_training'])} of the labelled films lie farther from the training films than the "
        "bundle's threshold."
    )
    yield from _shortcuts(found["shortcuts"])


def _class_rows(found: Values) -> Iterator[tuple[str, ...]]:
    for name in FINDINGS:
        for measure, title in _OF_A_CLASS.items():
            levels = [found[column].get("per_class", {}).get(name.value, {}) for column in ("before", "after", "difference")]
            if any(levels):
                yield f"{name.value}: {title}", *(with_interval(level, measure) for level in levels)
    for measure in ("sensitivity", "specificity"):
        levels = [found[column].get(TB_SCREENING, {}) for column in ("before", "after", "difference")]
        if any(levels):
            yield f"Tuberculosis at `{TB_SCREENING}`: {measure}", *(with_interval(level, measure) for level in levels)


def _shortcuts(control: Values) -> Iterator[str]:
    yield "### Lungs or scanner?"
    yield (
        "A head fitted to the border, histogram and sharpness of the films alone, which show the scanner and no lung, has an "
        f"AUC of {control['macro_auc']:.3f}. The released head has {control['released_macro_auc']:.3f}, the refitted "
        f"one {control['refitted_macro_auc']:.3f}."
    )
    if control["warning"]:
        yield control["warning"]


def _unlabelled(metrics: Values) -> Iterator[str]:
    if (found := metrics["unlabelled"]) is None:
        return
    yield "## Films without a label"
    yield (
        f"{found['films']} films. The estimated shares assume that films of one class look to the model as they did when it "
        "was calibrated, which nothing here can check."
    )
    rows = [(name, _share(each), percent(found["called"][name])) for name, each in found["shares"].items()]
    yield markdown_table(("class", "estimated share (95 % interval)", "called so"), rows)
    yield (
        f"{_share(found['unlike_training'])} of these films are unlike the training films; the bundle flags "
        f"{percent(found['review_rate'])} for review."
    )


def _end(metrics: Values) -> Iterator[str]:
    yield "## What the profile does not do"
    yield "\n".join(f"- {limit}" for limit in _LIMITS)
    yield "## How it goes on"
    if name := metrics["profile"]:
        yield f"Serve the bundle with the profile, if it lies in `sites/`:\n\n```\nCXR_SITE=sites/{name} make serve\n```"
        yield "The profile belongs to this bundle alone. A new release must be commissioned again."
    else:
        yield "Without a profile the bundle answers as released. Read the reasons above before you use it on this site's films."


def _share(level: Values) -> str:
    """A share and its 95 % interval in percent."""
    if level["share"] is None:
        return UNDEFINED
    low, high = level["interval_95"]["share"]
    return f"{percent(level['share'])} ({percent(low)} to {percent(high)})"
