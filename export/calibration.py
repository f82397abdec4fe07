"""Fits temperature, TB threshold, conformal quantiles and review threshold on the validation split. Arrays in, numbers out."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from service.model.findings import FINDINGS, Finding
from training.errors import ExportError

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]

TB_SCREENING = "tb_screening"

# WHO target product profile for a TB triage test: at least 90 % sensitivity.
TB_SENSITIVITY = 0.90

CONFORMAL_COVERAGE = 0.90

# Share of the validation films that are flagged for review because of low confidence. Large, because a release serves hospitals
# that it has not seen, where it is more often wrong than it is unsure; a site profile has a threshold of its own.
REVIEW_SHARE = 0.20

# Label smoothing needs about 0.5 to 1, an overconfident network 1 to 3. A fit that ends at a bound has found no minimum: on
# those films the network is never wrong (lower bound) or no better than chance (upper bound).
TEMPERATURE_BOUNDS = (0.2, 10.0)

# Thresholds are rounded down to this, so that another machine's last bit cannot drop the very film that defines one.
THRESHOLD_STEP = 1e-4


@dataclass(frozen=True)
class Calibration:
    """The fitted values."""

    temperature: float  # divides the logits
    tb_threshold: float  # calibrated probability of tuberculosis from which the operating point tb_screening calls it
    conformal_quantiles: dict[Finding, float]  # see `ConformalSpec`
    review_threshold: float  # calibrated probability below which a film is flagged for review
    nll_before: float  # mean negative log-likelihood at temperature 1, nats
    nll_after: float  # the same at the fitted temperature, nats
    films: int  # number of films that the values were fitted on


def calibrate(logits: Floats, labels: Labels) -> Calibration:
    """Fit everything on validation logits [N, 3] and labels [N], which hold every finding.

    Raises ExportError if they cannot be calibrated.
    """
    if not np.isfinite(logits).all():
        raise ExportError(
            "The network's logits of validation films are not finite, so it cannot be calibrated; train it again."
        )
    temperature = fit_temperature(logits, labels)
    # float32, as the graph computes them: thresholds are compared with the graph's probabilities.
    probabilities = softmax(logits / np.float32(temperature), axis=1).astype(np.float32)
    tuberculosis = FINDINGS.index(Finding.TUBERCULOSIS)
    return Calibration(
        temperature=temperature,
        tb_threshold=screening_threshold(probabilities[:, tuberculosis], labels == tuberculosis, TB_SENSITIVITY),
        conformal_quantiles=conformal_quantiles(probabilities, labels, CONFORMAL_COVERAGE),
        review_threshold=review_threshold(probabilities, REVIEW_SHARE),
        nll_before=negative_log_likelihood(logits, labels, 1.0),
        nll_after=negative_log_likelihood(logits, labels, temperature),
        films=len(labels),
    )


def negative_log_likelihood(logits: Floats, labels: Labels, temperature: float) -> float:
    """Mean over films, in nats, of logits [N, C] divided by a temperature."""
    log_probabilities = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return -float(log_probabilities[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature of least negative log-likelihood within `TEMPERATURE_BOUNDS` (Guo et al. 2017, arXiv:1706.04599)."""
    # On the logarithm the search is as fine below 1 as above it.
    found = minimize_scalar(
        lambda log_temperature: negative_log_likelihood(logits, labels, math.exp(log_temperature)),
        bounds=np.log(TEMPERATURE_BOUNDS),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return math.exp(found.x)


def found_no_minimum(temperature: float) -> bool:
    """Whether a fitted temperature ended at a bound."""
    return any(math.isclose(temperature, bound, rel_tol=1e-3) for bound in TEMPERATURE_BOUNDS)


def screening_threshold(scores: Floats, positive: npt.NDArray[np.bool_], sensitivity: float) -> float:
    """The highest threshold below 1 (to 1e-4) at which at least `sensitivity` of the positives score as much or more.

    scores: probability of the disease [N]. positive: whether the film has it [N], at least one has.
    Raises ExportError if only a threshold of zero would do.
    """
    descending = np.sort(scores[positive].astype(np.float64))[::-1]
    needed = math.ceil(sensitivity * len(descending) - 1e-9)  # 0.9 * 10 must not become 9.000000000000002
    # On films that it never gets wrong a network's probabilities round to 1, which no operating point takes as a threshold.
    threshold = min(math.floor(descending[needed - 1] / THRESHOLD_STEP) * THRESHOLD_STEP, 1 - THRESHOLD_STEP)
    if threshold <= 0:
        raise ExportError(
            f"{needed} of {len(descending)} diseased validation films do not reach a probability of {THRESHOLD_STEP}: "
            f"no threshold has a sensitivity of {sensitivity:.0%}; train the network again."
        )
    return round(threshold, 4)


def conformal_quantiles(probabilities: Floats, labels: Labels, coverage: float) -> dict[Finding, float]:
    """Quantile of the scores 1 - p of each finding's own films, with the finite-sample correction of split conformal sets.

    A new film's set {c: 1 - p_c <= quantile of c} holds the true finding with at least this probability, whichever it is, if
    the film is exchangeable with that finding's calibration films (Vovk 2012, arXiv:1209.2673). 1 (always in the set) where
    they are too few. The temperature was fitted on the same films; one parameter for hundreds of films shifts the coverage by
    less than the correction itself.
    """
    of_truth = 1.0 - probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {finding: conformal_quantile(of_truth[labels == index], coverage) for index, finding in enumerate(FINDINGS)}


def conformal_quantile(scores: Floats, coverage: float) -> float:
    """Quantile of scores 0..1, [N], with the correction for finite N; 1 if N is too small for it.

    A new score is at most this with at least the given probability, if it is exchangeable with the others (Angelopoulos &
    Bates, arXiv:2107.07511, section 1).
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 * 10 must not become 9.000000000000002
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else 1.0


def review_threshold(probabilities: Floats, share: float) -> float:
    """The confidence (to 1e-4) below which the `share` least confident films lie.

    A share and not an accuracy, because the reading time that it costs is then known beforehand, and because it rests on all
    films instead of the few wrong ones. Conformal sets catch films between two findings whatever their share.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    return round(math.floor(float(np.quantile(confidence, share)) / THRESHOLD_STEP) * THRESHOLD_STEP, 4)
