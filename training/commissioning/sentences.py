"""Verdict and warnings of commissioning with labelled films, as sentences."""

from export.calibration import TB_SCREENING, TB_SENSITIVITY
from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from training.commissioning.cases import Figures, PartVerdict, ShortcutControl, SiteFilms
from training.commissioning.fitting.choice import Choice
from training.commissioning.fitting.nested import Classifier
from training.evaluation.report.tables import enumerated

_HEADS = {Classifier.OFFSETS: "scale and offsets of the site's own", Classifier.HEAD: "a head of the site's own"}

_NAMES = {
    "operating_points": "operating points",
    "conformal": "prediction sets",
    "review": "the review threshold",
    "outliers": "the threshold for outliers",
}

# A warning says so if a larger share of the films is flagged for review.
_MANY_FLAGS = 0.5

# A warning says so if the coverage of prediction sets is lower than promised by more than this.
_TOLERATED_SHORTFALL = 0.05


def verdict_of(films: SiteFilms, before: Figures, after: Figures, parts: dict[str, PartVerdict], choice: Choice) -> str:
    """A paragraph: the released figures, the written parts, and the figures with them."""
    counts = enumerated([f"{count} {finding.value}" for finding, count in films.films_by_finding().items() if count])
    patients = len(set(films.patients))
    opening = f"On {len(films)} films ({counts}) of {patients} patients the released model has {_figures(before)}."
    if not choice.tells_classes_apart and before["interval_95"]["macro_auc"][0] > 0.5:
        return (
            f"{opening} These films are too few to show that it, or a head fitted to them, tells their classes apart. Add "
            "films, and do not rely on the model here before. No profile is written."
        )
    if not choice.tells_classes_apart:
        return (
            f"{opening} Neither it nor a head fitted to these films tells their classes apart beyond chance. Check the labels; "
            "if they are right, add films, and do not use the model here. No profile is written."
        )
    written = [name for name, part in parts.items() if part.written]
    if not written:
        return f"{opening} Nothing that was fitted to these films is better beyond chance: the released model stays as it is."
    names = {**_NAMES, "head": _HEADS.get(choice.classifier, "")}
    return (
        f"{opening} The profile holds {enumerated([names[name] for name in written])}. On patients that it was not fitted to, "
        f"it has {_figures(after)}.{_absent(films, ' Nothing was verified for {}.')}"
    )


def warnings_of(
    films: SiteFilms, control: ShortcutControl, after: Figures, manifest: ModelManifest, classifier: Classifier
) -> tuple[str, ...]:
    """Warnings for the profile. after: figures with the written parts. classifier: the one that is written."""
    # A head that is fitted without films of a class moves its answers towards the other classes.
    head = _HEADS.get(classifier)
    less = f" With {head} it may be called less often than before." if head else ""
    absent = _absent(films, "No film of {} was given: nothing was verified for it." + less)
    found = after.get("tb_screening", {}).get("sensitivity")
    flagged, coverage, promised = after["review_rate"], after["coverage"], manifest.conformal.coverage
    short = f"Prediction sets made for {promised:.0%} coverage hold the truth for {coverage:.0%} of the site's films."
    return (
        *([absent] if absent else []),
        *([control.warning] if control.warning else []),
        *([f"{flagged:.0%} of the site's films are flagged for review."] if flagged > _MANY_FLAGS else []),
        *([short] if coverage < promised - _TOLERATED_SHORTFALL else []),
        *(
            [f"{TB_SCREENING} finds {found:.0%} of the site's tuberculosis, {TB_SENSITIVITY:.0%} is meant."]
            if found is not None and found < TB_SENSITIVITY
            else []
        ),
    )


def _absent(films: SiteFilms, sentence: str) -> str:
    """The sentence with the findings that have no films filled in; "" if all have some."""
    absent = [FINDINGS[index].value for index in range(len(FINDINGS)) if index not in films.present]
    return sentence.format(enumerated(absent)) if absent else ""


def _figures(figures: Figures) -> str:
    """AUC and accuracy with intervals, coverage, and review flags."""
    return (
        f"an AUC of {_with_interval(figures, 'macro_auc')} between them, an accuracy of {_with_interval(figures, 'accuracy')}, "
        f"prediction sets that hold the truth for {figures['coverage']:.0%}, and review flags on {figures['review_rate']:.0%}"
    )


def _with_interval(figures: Figures, name: str) -> str:
    low, high = figures["interval_95"][name]
    return f"{figures[name]:.2f} ({low:.2f} to {high:.2f})"
