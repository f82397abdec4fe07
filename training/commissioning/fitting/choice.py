"""Decides which parts of a profile are written: those that beat the released model beyond chance, out of fold."""

from collections.abc import Mapping
from dataclasses import dataclass

from export.calibration import TB_SENSITIVITY
from service.model.manifest import ModelManifest
from training.commissioning.cases import PartVerdict, SiteFilms
from training.commissioning.fitting.figures import BETTER, Bounded, bounds, tells_apart
from training.commissioning.fitting.nested import CONFORMAL, OPERATING_POINTS, REVIEW, THRESHOLDS, Classifier, NestedAnswers
from training.commissioning.fitting.thresholds import MOST_FLAGGED
from training.evaluation.measures.bootstrap import MetricPath

HEAD = "head"
PARTS = (HEAD, *THRESHOLDS)

_NOT_APART = "The classes are not told apart beyond chance"

_Bounds = Mapping[MetricPath, Bounded]


@dataclass(frozen=True)
class Choice:
    """The classifier and the parts of the profile that are written."""

    classifier: Classifier  # RELEASED: no head is written
    parts: dict[str, PartVerdict]  # of each of PARTS but OUTLIERS, which needs no labels
    tells_classes_apart: bool  # see `Acceptance`


def choose(films: SiteFilms, nested: NestedAnswers, manifest: ModelManifest, seed: int) -> Choice:
    """Decide from out-of-fold answers, paired by patient. If no answers tell the classes apart, nothing is written."""
    apart = {classifier: tells_apart(films, answers, seed) for classifier, answers in nested.adjusted.items()}
    if not any(apart.values()):
        nothing = PartVerdict(False, f"{_NOT_APART} by any answers.")
        return Choice(Classifier.RELEASED, dict.fromkeys(PARTS, nothing), False)
    reasons = []
    for classifier, judge in ((Classifier.HEAD, _judge_head), (Classifier.OFFSETS, _judge_offsets)):
        verdict = judge(bounds(films, nested.adjusted[classifier], nested.released, seed))
        if verdict.written and apart[classifier]:
            follows = PartVerdict(True, "It is fitted to the probabilities of the site's head.")
            parts = {HEAD: verdict, **dict.fromkeys((OPERATING_POINTS, CONFORMAL, REVIEW), follows)}
            return Choice(classifier, parts, True)
        reasons.append(verdict.reason if apart[classifier] else f"{_NOT_APART} by a fitted head.")
    if not apart[Classifier.RELEASED]:
        nothing = PartVerdict(False, f"{_NOT_APART} by the released model.")
        parts = {HEAD: PartVerdict(False, " ".join(reasons)), **dict.fromkeys((OPERATING_POINTS, CONFORMAL, REVIEW), nothing)}
        return Choice(Classifier.RELEASED, parts, True)
    return _choose_thresholds(films, nested, manifest, seed, PartVerdict(False, " ".join(reasons)))


def _judge_head(gain: _Bounds) -> PartVerdict:
    """Written if AUC or accuracy is better beyond chance and log loss is no worse; or if log loss is better beyond chance and
    neither AUC nor accuracy is worse by more than its standard error.

    gain: figures minus the released ones.
    """
    auc, accuracy, loss = gain["macro_auc",], gain["accuracy",], gain["log_loss",]
    figures = f"AUC {auc.value:+.3f}, accuracy {accuracy.value:+.3f}, log loss {loss.value:+.3f}"
    classifies_better = max(auc.at_least(BETTER), accuracy.at_least(BETTER)) > 0 and loss.value <= 0
    is_better_calibrated = loss.at_most(BETTER) < 0 and min(auc.at_most(1), accuracy.at_most(1)) >= 0
    if classifies_better or is_better_calibrated:
        return PartVerdict(True, f"A head of the site's own is better than the released one beyond chance: {figures}.")
    return PartVerdict(False, f"A head of the site's own is not better than the released one beyond chance: {figures}.")


def _judge_offsets(gain: _Bounds) -> PartVerdict:
    """Written if log loss is better beyond chance; or ECE is, with a log loss that is no worse. gain: as for the head."""
    error, loss = gain["ece",], gain["log_loss",]
    figures = f"log loss {loss.value:+.3f}, ECE {error.value:+.3f}"
    if loss.at_most(BETTER) < 0 or (error.at_most(BETTER) < 0 and loss.value <= 0):
        return PartVerdict(True, f"Scale and offsets alone improve the released head's probabilities beyond chance: {figures}.")
    return PartVerdict(False, f"Scale and offsets alone do not improve its probabilities beyond chance: {figures}.")


def _choose_thresholds(
    films: SiteFilms, nested: NestedAnswers, manifest: ModelManifest, seed: int, head: PartVerdict
) -> Choice:
    """Choose thresholds for the released head. Prediction sets and review go together: a set of two findings is flagged."""
    released = nested.released
    before, gain = bounds(films, released, None, seed), bounds(films, nested.adjusted[Classifier.RELEASED], released, seed)
    sets, points = _judge_sets(before, gain, manifest.conformal.coverage), _judge_screening(before, gain)
    return Choice(Classifier.RELEASED, {HEAD: head, OPERATING_POINTS: points, CONFORMAL: sets, REVIEW: sets}, True)


def _judge_sets(before: _Bounds, gain: _Bounds, promised: float) -> PartVerdict:
    """before: the released figures; gain: what the site's quantiles and review threshold add to them."""
    too_low = {path: each for path, each in before.items() if path[-1] == "coverage" and each.at_most(BETTER) < promised}
    if too_low:
        path, worst = min(too_low.items(), key=lambda item: item[1].value)
        whose = f"the films of {path[1]}" if len(path) > 1 else "the films"
        after = worst.value + gain[path].value
        figures = f"prediction sets hold the truth for {worst.value:.0%} of {whose}, {promised:.0%} is promised"
        if abs(after - promised) < abs(worst.value - promised):
            return PartVerdict(True, f"The released {figures}; with the site's quantiles {after:.0%}.")
        return PartVerdict(False, f"The released {figures}, but the site's quantiles are no better.")
    caught, flagged = gain.get(("errors_flagged",)), before["review_rate",].value + gain["review_rate",].value
    if caught is not None and caught.at_least(BETTER) > 0 and flagged <= MOST_FLAGGED:
        return PartVerdict(True, f"The site's review flags catch more of the errors beyond chance ({caught.value:+.0%}).")
    return PartVerdict(
        False,
        f"Released sets hold the truth for {before['coverage',].value:.0%} of the films, not less than the {promised:.0%} "
        "promised beyond chance.",
    )


def _judge_screening(before: _Bounds, gain: _Bounds) -> PartVerdict:
    path = ("tb_screening", "sensitivity")
    if path not in before:
        return PartVerdict(False, "There are no films of tuberculosis to fit the screening threshold to.")
    released, after = before[path], before[path].value + gain[path].value
    found = f"At tb_screening the released model finds {released.value:.0%} of tuberculosis"
    if released.at_most(BETTER) < TB_SENSITIVITY and after > released.value:
        return PartVerdict(True, f"{found}, {TB_SENSITIVITY:.0%} is meant; with the site's threshold {after:.0%}.")
    if released.at_most(BETTER) < TB_SENSITIVITY:
        return PartVerdict(False, f"{found}, {TB_SENSITIVITY:.0%} is meant, but no threshold of the site's finds more.")
    return PartVerdict(False, f"{found}, not less than {TB_SENSITIVITY:.0%} beyond chance.")
