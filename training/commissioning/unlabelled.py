"""Commissioning with unlabelled films: what can be estimated without the truth."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from training.commissioning.cases import Unlabelled
from training.commissioning.fitting.decisions import answer
from training.commissioning.fitting.figures import share_with_interval
from training.commissioning.fitting.shares import estimate_shares, intervals, training_shares
from training.commissioning.fitting.thresholds import fit_outlier_threshold
from training.errors import CommissioningError
from training.evaluation.measures.confusion import FilmMask
from training.evaluation.report.tables import enumerated

NOTHING_VERIFIED = (
    "Only films without a label were given: nothing was verified, and no figure says how well the model does here."
)

_ASSUMPTION = (
    "The estimated shares hold if the films of each class look here as they did in training. In hospitals that the model has "
    "not seen they were off by up to 0.12, which their intervals do not count."
)


def commission_unlabelled(
    logits: npt.NDArray[np.float64],
    outlier_scores: npt.NDArray[np.float64],
    manifest: ModelManifest,
    patients: Sequence[str],
    unusual_images: FilmMask | None = None,
    seed: int = 0,
) -> Unlabelled:
    """Estimate the shares of the classes, and the share of films unlike the training films.

    logits: released, before temperature, [N, 3]. outlier_scores, patients, unusual_images: as in `SiteFilms`, [N].
    manifest: of the bundle. seed: of the bootstrap samples.
    Raises CommissioningError without films.
    """
    if len(logits) == 0:
        raise CommissioningError("There are no films to commission with; give a folder with the site's films.")
    probabilities = softmax(logits.astype(np.float64) / manifest.temperature, axis=1)
    answers = answer(probabilities, outlier_scores, manifest)
    flagged = answers.flagged if unusual_images is None else answers.flagged | unusual_images
    calibrated_to = training_shares(manifest)
    shares = estimate_shares(probabilities, calibrated_to)
    low, high = intervals(probabilities, calibrated_to, patients, seed)
    outlying = outlier_scores > (manifest.outliers.threshold if manifest.outliers else np.inf)
    unlike = share_with_interval(outlying, patients, seed)
    own = manifest.outliers and fit_outlier_threshold(outlier_scores, manifest.outliers)
    by_finding = {finding: round(float(share), 6) for finding, share in zip(FINDINGS, shares, strict=True)}
    rounded = np.round(np.stack([low, high], axis=1), 6).tolist()
    bounds = {finding: (least, most) for finding, (least, most) in zip(FINDINGS, rounded, strict=True)}
    estimated = enumerated(
        [f"{share:.0%} {each.value} ({bounds[each][0]:.0%} to {bounds[each][1]:.0%})" for each, share in by_finding.items()]
    )
    return Unlabelled(
        films=len(logits),
        shares=by_finding,
        shares_95=bounds,
        called={finding: float(np.mean(answers.called == index)) for index, finding in enumerate(FINDINGS)},
        unlike_training=float(unlike["share"]),
        unlike_training_95=(unlike["interval_95"]["share"][0], unlike["interval_95"]["share"][1]),
        review_rate=float(flagged.mean()),
        outliers=own if own != manifest.outliers else None,
        warnings=(NOTHING_VERIFIED,),
        verdict=(
            f"{NOTHING_VERIFIED} Of {len(logits)} films {unlike['share']:.0%} are unlike the training films, and the released "
            f"model flags {flagged.mean():.0%} for review. Estimated shares: {estimated}. {_ASSUMPTION}"
        ),
    )
