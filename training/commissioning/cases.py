"""Inputs and results of commissioning: arrays and numbers, no files."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels, NetworkValues
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ConformalSpec, OperatingPoint, OutlierSpec, ReviewSpec
from training.evaluation.measures.confusion import FilmMask

if TYPE_CHECKING:
    from service.model.site_profile import SiteHead

# As `Bootstrap.measure` returns it: nested levels {name: value, "interval_95": {name: [low, high]}}. None: undefined.
Figures = dict[str, Any]


@dataclass(frozen=True)
class SiteFilms:
    """Labelled films of one site, and the bundle's answers to them."""

    labels: npt.NDArray[np.int64]  # index into FINDINGS, [N]
    logits: npt.NDArray[np.float64]  # released, before temperature, [N, 3]
    embeddings: NetworkValues  # pooled features, as the graph computes them, float32 [N, C]
    patients: tuple[str, ...]  # [N]; a film of an unknown patient has a name of its own
    images: GreyPixels  # model inputs, uint8 [N, S, S]; the shortcut control reads them
    outlier_scores: npt.NDArray[np.float64]  # see `service.model.outliers.outlier_score`, [N]
    # Whether a film is flagged for its picture or DICOM header, whatever the network answers; bool [N]. None: not measured,
    # which counts as not flagged.
    unusual_images: FilmMask | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def present(self) -> tuple[int, ...]:
        """Indices into FINDINGS of the classes that have films, ascending."""
        return tuple(int(index) for index in np.unique(self.labels))

    @property
    def flagged_images(self) -> FilmMask:
        """`unusual_images`; all False if they were not measured."""
        return np.zeros(len(self), dtype=bool) if self.unusual_images is None else self.unusual_images

    def films_by_finding(self) -> dict[Finding, int]:
        """Number of films of each finding, 0 for one without films."""
        return {finding: int((self.labels == index).sum()) for index, finding in enumerate(FINDINGS)}

    def only(self, chosen: npt.NDArray[np.intp]) -> "SiteFilms":
        """The films with these indices, in this order."""
        return SiteFilms(
            labels=self.labels[chosen],
            logits=self.logits[chosen],
            embeddings=self.embeddings[chosen],
            patients=tuple(self.patients[index] for index in chosen),
            images=self.images[chosen],
            outlier_scores=self.outlier_scores[chosen],
            unusual_images=None if self.unusual_images is None else self.unusual_images[chosen],
        )


@dataclass(frozen=True)
class PartVerdict:
    """Whether one part of the profile is written."""

    written: bool
    reason: str  # one sentence: why, or why not, with its figures


@dataclass(frozen=True)
class ShortcutControl:
    """A head fitted to border pixels, histogram and sharpness alone: they show the scanner and no lung."""

    macro_auc: float  # within the site's classes, out of fold
    released_macro_auc: float  # of the released head on the same films
    refitted_macro_auc: float  # of the refitted head, out of fold
    warning: str | None  # a sentence if the control is nearly as good as the refitted head


@dataclass(frozen=True)
class Acceptance:
    """Result of commissioning with labelled films. Figures after come from nested cross-validation by patient.

    Figures (`before`, `after`, `difference`) have the members: macro_auc (within the site's classes, by logit difference),
    accuracy (of the most probable finding), ece (of the largest probability), log_loss (nats), coverage and set_size (mean) of
    prediction sets, review_rate (share of films flagged), errors_flagged (share of the misclassified films that are flagged),
    {"per_class": {finding: {"sensitivity", "specificity", "coverage"}}} at `balanced` for the classes that have films, and with
    films of tuberculosis {"tb_screening": {"sensitivity", "specificity"}} at that operating point; each level with
    "interval_95". `after` is of the bundle with the written parts; where none is written, it equals `before`.
    """

    films: dict[Finding, int]  # films of each finding, 0 for those without
    patients: int
    before: Figures  # of the released bundle
    after: Figures  # of the bundle with the written parts
    difference: Figures  # after minus before, paired by patient
    unlike_training: Figures  # {"share": films whose outlier score is above the bundle's threshold, "interval_95"}
    # Films of each finding that a 95 % interval of +-0.05 around its sensitivity takes
    films_needed: dict[Finding, int]
    # False if neither the released nor the refitted answers tell the classes apart beyond chance: check the labels
    tells_classes_apart: bool
    parts: dict[str, PartVerdict]  # by "head", "operating_points", "conformal", "review", "outliers"
    verdict: str  # a paragraph for people
    warnings: tuple[str, ...]  # sentences for the profile: shortcuts, findings of which nothing was verified
    shortcuts: ShortcutControl
    probabilities_before: npt.NDArray[np.float64]  # calibrated, as released, [N, 3]
    probabilities_after: npt.NDArray[np.float64]  # out of fold, [N, 3]; in the order of the films given
    # The written parts of the profile, fitted to all films; None: the part is not written
    head: "SiteHead | None" = None
    operating_points: dict[str, OperatingPoint] | None = None
    conformal: ConformalSpec | None = None
    review: ReviewSpec | None = None
    outliers: OutlierSpec | None = None

    @property
    def writes_profile(self) -> bool:
        """Whether any part is written."""
        return any(part.written for part in self.parts.values())


@dataclass(frozen=True)
class Unlabelled:
    """Result of commissioning with unlabelled films alone. Nothing of it is verified."""

    films: int
    shares: dict[Finding, float]  # estimated share of each finding among the films, summing to 1
    shares_95: dict[Finding, tuple[float, float]]  # bootstrap intervals of the shares
    called: dict[Finding, float]  # share of films that the released model calls each finding at `balanced`
    unlike_training: float  # share of films whose outlier score is above the bundle's threshold
    unlike_training_95: tuple[float, float]
    review_rate: float  # share of films that the released bundle flags for review
    outliers: OutlierSpec | None  # with the site's threshold; None: the bundle's does not flag too many of the films
    warnings: tuple[str, ...] = field(default=())  # sentences
    verdict: str = ""  # a paragraph for people: what was measured, and that nothing was verified
