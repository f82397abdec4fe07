"""Commissioning with labelled films: judges the bundle on them, and decides which parts of a site profile are written."""

from service.model.manifest import ModelManifest
from training.commissioning.cases import Acceptance, PartVerdict, ShortcutControl, SiteFilms
from training.commissioning.fitting.choice import HEAD, Choice, choose
from training.commissioning.fitting.figures import films_needed, measure, share_with_interval, within_site_auc
from training.commissioning.fitting.folds import require_enough
from training.commissioning.fitting.nested import (
    CONFORMAL,
    OPERATING_POINTS,
    OUTLIERS,
    REVIEW,
    Adjustment,
    Classifier,
    NestedAnswers,
    adjust,
    nested_cross_validation,
)
from training.commissioning.fitting.shortcuts import shortcut_auc, shortcut_warning
from training.commissioning.sentences import verdict_of, warnings_of


def commission_labelled(films: SiteFilms, manifest: ModelManifest, seed: int = 0) -> Acceptance:
    """Judge the bundle on the films, fit a site profile, and keep the parts of it that are better beyond chance.

    manifest: of the bundle. seed: of folds and bootstrap samples.
    Raises TooFewFilms for a class with 1 to 19 films or of fewer than 10 patients, or for fewer than two classes.
    """
    require_enough(films)
    nested = nested_cross_validation(films, manifest, seed)
    choice = choose(films, nested, manifest, seed)
    fitted = adjust(films, manifest, seed)[choice.classifier]
    parts = {**choice.parts, OUTLIERS: _judge_outliers(choice, fitted, manifest)}
    parts = {name: _unless_unchanged(name, part, fitted.manifest, manifest) for name, part in parts.items()}
    written = [name for name, part in parts.items() if part.written and name != HEAD]
    answers = nested.answers(choice.classifier, written)
    before, after, difference = measure(films, nested.released, answers, seed)
    control = _control(films, nested, choice, seed)
    outlying = films.outlier_scores > (manifest.outliers.threshold if manifest.outliers else float("inf"))
    return Acceptance(
        films=films.films_by_finding(),
        patients=len(set(films.patients)),
        before=before,
        after=after,
        difference=difference,
        unlike_training=share_with_interval(outlying, films.patients, seed),
        films_needed=films_needed(before, films.films_by_finding()),
        tells_classes_apart=choice.tells_classes_apart,
        parts=parts,
        verdict=verdict_of(films, before, after, parts, choice),
        warnings=warnings_of(films, control, after, manifest, choice.classifier),
        shortcuts=control,
        probabilities_before=nested.released.probabilities,
        probabilities_after=answers.probabilities,
        head=None if fitted.head is None else fitted.head.as_site_head(),
        **{name: getattr(fitted.manifest, name) for name in written},
    )


def _control(films: SiteFilms, nested: NestedAnswers, choice: Choice, seed: int) -> ShortcutControl:
    """Compare the heads with a control. Only a head with weights gets a warning: scale and offsets cannot learn a scanner."""
    control = shortcut_auc(films, seed)
    released = float(within_site_auc(films.labels, nested.released.probabilities))
    refitted = float(within_site_auc(films.labels, nested.adjusted[Classifier.HEAD].probabilities))
    warning = shortcut_warning(control, released, refitted) if choice.classifier is Classifier.HEAD else None
    return ShortcutControl(control, released, refitted, warning)


def _judge_outliers(choice: Choice, fitted: Adjustment, manifest: ModelManifest) -> PartVerdict:
    spec, own = manifest.outliers, fitted.manifest.outliers
    if spec is None or own is None:
        return PartVerdict(False, "The bundle has no statistics of outliers.")
    if not choice.tells_classes_apart:
        return PartVerdict(False, "No answers tell the classes apart beyond chance.")
    if own == spec:
        return PartVerdict(False, f"The released threshold of {spec.threshold:.2f} does not flag too many of the site's films.")
    return PartVerdict(
        True,
        f"The released threshold of {spec.threshold:.2f} flags more of the site's films than the {spec.flagged_share:.1%} of "
        f"validation films, beyond chance; that of the site is {own.threshold:.2f}.",
    )


def _unless_unchanged(name: str, part: PartVerdict, fitted: ModelManifest, manifest: ModelManifest) -> PartVerdict:
    """The verdict, or that the part is not written because its fitted values are the bundle's."""
    if name in (OPERATING_POINTS, CONFORMAL, REVIEW) and part.written and getattr(fitted, name) == getattr(manifest, name):
        return PartVerdict(False, "The site's films give no other values than the released ones.")
    return part
