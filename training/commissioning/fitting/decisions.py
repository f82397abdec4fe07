"""The service's answers to a site's films, by the service's own decision rules."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from export.calibration import TB_SCREENING
from service.model.decision import DEFAULT_OPERATING_POINT, Observed, decide
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ModelManifest
from training.commissioning.cases import SiteFilms
from training.evaluation.measures.confusion import FilmMask, Floats


@dataclass(frozen=True)
class Answers:
    """Answers to N films, in their order."""

    probabilities: Floats  # calibrated, [N, 3]
    called: npt.NDArray[np.intp]  # finding at `balanced`, index into FINDINGS, [N]
    sets: FilmMask  # whether the prediction set holds each finding, [N, 3]
    flagged: FilmMask  # for review, [N]
    suspected: FilmMask  # called Tuberculosis at `tb_screening`; none without that operating point, [N]

    @classmethod
    def joined(cls, parts: "list[tuple[npt.NDArray[np.intp], Answers]]") -> "Answers":
        """All answers in the order of the films. parts: of each fold, the indices of its films and their answers."""
        order = np.argsort(np.concatenate([chosen for chosen, _ in parts]))
        return cls(*(np.concatenate([getattr(part, name) for _, part in parts])[order] for name in cls.__dataclass_fields__))


def answer(probabilities: Floats, outlier_scores: npt.NDArray[np.float64], manifest: ModelManifest) -> Answers:
    """Apply the manifest's rules to calibrated probabilities [N, 3] and outlier scores [N], but not those for pictures."""
    decisions = [
        decide(row, manifest, DEFAULT_OPERATING_POINT, Observed(outlier_score=float(score)))
        for row, score in zip(probabilities.tolist(), outlier_scores, strict=True)
    ]
    point = manifest.operating_points.get(TB_SCREENING)
    threshold = point.thresholds[Finding.TUBERCULOSIS] if point else np.inf
    return Answers(
        probabilities=probabilities,
        called=np.array([FINDINGS.index(decision.finding) for decision in decisions], dtype=np.intp),
        sets=np.array([[finding in decision.prediction_set for finding in FINDINGS] for decision in decisions]),
        flagged=np.array([decision.review_required for decision in decisions]),
        suspected=probabilities[:, FINDINGS.index(Finding.TUBERCULOSIS)] >= threshold,
    )


def answers_of(probabilities: Floats, films: SiteFilms, manifest: ModelManifest) -> Answers:
    """As `answer`, and also flag the films with `flagged_images`."""
    answers = answer(probabilities, films.outlier_scores, manifest)
    return replace(answers, flagged=answers.flagged | films.flagged_images)
