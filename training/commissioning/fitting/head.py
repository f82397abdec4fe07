"""Fits a site's head: multinomial logistic regression on the frozen embedding, regularised towards the released head.

Its logits are scale * released logits + weights @ embedding of unit length + bias (see `SiteHead`). Arrays in, numbers out.

These were tried and did no better (chest-xray 1.1.1 on unseen hospitals: sakha, siim, rsna; 20, 40 and 80 films a class; 10 or
20 draws): discriminant analysis, embeddings centred by the site's mean, a larger ridge along the leading components of the
embedding, a temperature fitted to the out-of-fold logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from service.model.findings import FINDINGS
from service.model.site_profile import SiteHead
from training.commissioning.cases import SiteFilms
from training.evaluation.measures.confusion import Floats

# Ridge on the weights: the loss is -log likelihood, summed over films, + penalty / 2 * |weights|^2. None fits no weights, only
# scale and offsets. The best penalty lies between 0.03 and 0.3, whatever the number of films.
PENALTIES: tuple[float | None, ...] = (None, 3.0, 1.0, 0.3, 0.1, 0.03)

# Ridges on the scale's distance from the released one (1 / temperature), and on the offsets. A factor of ten changes no result,
# as long as the offsets are nearly free.
SCALE_PENALTY = 1.0
BIAS_PENALTY = 0.05

# A class without films keeps its released logit. Without a further ridge, the logits of the other classes could rise together
# until it is never predicted: chest-xray 1.1.1, fitted to 40 normal and 40 pneumonia films of siim, loses all sensitivity to
# tuberculosis in shenzhen (0.94 to 0). So the weights' mean over classes has a ridge of penalty * films * this factor, and the
# offsets' mean is 0. The sensitivity is then 0.78, at a cost of 0.01 in accuracy.
SHARED_PENALTY_PER_FILM = 1 / 8

# Exponent of the likelihoods in `weigh`.
_TEMPERING = 0.3

_LEAST_SCALE = 0.05
_ITERATIONS = 300


@dataclass(frozen=True)
class HeadValues:
    """A site's head in double precision; see `SiteHead`."""

    scale: float
    weights: Floats  # [3, C]
    bias: Floats  # [3]

    def logits(self, released: Floats, units: Floats) -> Floats:
        """Released logits [N, 3] and embeddings of unit length [N, C] -> the site's logits [N, 3]."""
        return self.scale * released + units @ self.weights.T + self.bias

    def as_site_head(self) -> SiteHead:
        """In float32, as it is stored and served."""
        return SiteHead(
            scale=np.array([self.scale], np.float32),
            weights=self.weights.astype(np.float32),
            bias=self.bias.astype(np.float32),
        )


@dataclass(frozen=True)
class Cases:
    """N films as heads are fitted to them."""

    labels: npt.NDArray[np.int64]  # index into FINDINGS, [N]
    released: Floats  # logits, [N, 3]
    units: Floats  # embeddings of unit length, [N, C]
    released_scale: float  # 1 / temperature of the bundle

    @classmethod
    def of(cls, films: SiteFilms, temperature: float) -> "Cases":
        """temperature: of the bundle."""
        lengths = np.linalg.norm(films.embeddings.astype(np.float64), axis=1, keepdims=True)
        units = films.embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
        return cls(films.labels, films.logits.astype(np.float64), units, 1 / temperature)

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, chosen: npt.NDArray[np.intp]) -> "Cases":
        """The films with these indices."""
        return Cases(self.labels[chosen], self.released[chosen], self.units[chosen], self.released_scale)

    @cached_property
    def span(self) -> tuple[Floats, Floats]:
        """Coordinates of the embeddings [N, r] in an orthonormal basis of their span [r, C], in which the best weights lie."""
        left, values, right = np.linalg.svd(self.units, full_matrices=False)
        rank = int((values > 1e-6 * max(values[0], np.finfo(float).tiny)).sum())
        return left[:, :rank] * values[:rank], right[:rank]


def fit_head(cases: Cases, penalty: float | None, start: HeadValues | None = None) -> HeadValues:
    """The head with the least penalised loss. Classes without films get zero weights and bias.

    penalty: one of `PENALTIES`, or any positive number. start: a head to begin the search with, which saves time.
    """
    coordinates, basis = cases.span if penalty is not None else (np.zeros((len(cases), 0)), np.zeros((0, cases.units.shape[1])))
    problem = _Problem(cases, coordinates, penalty or 0.0)
    first = np.concatenate([[cases.released_scale], np.zeros(problem.classes * (1 + coordinates.shape[1]))])
    if start is not None:
        first = np.concatenate([[start.scale], problem.rows.T @ start.bias, (problem.rows.T @ start.weights @ basis.T).ravel()])
    found = minimize(
        problem.loss_and_gradient,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=[(_LEAST_SCALE, None)] + [(None, None)] * (len(first) - 1),
        options={"maxiter": _ITERATIONS, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-5},
    )
    scale, bias, weights = problem.unpacked(found.x)
    return HeadValues(float(scale), problem.rows @ weights @ basis, problem.centred_rows @ bias)


def fit_heads(cases: Cases) -> list[HeadValues]:
    """One head for each of `PENALTIES`."""
    heads: list[HeadValues] = []
    for penalty in PENALTIES:  # strongest first, so that each head starts near its solution
        heads.append(fit_head(cases, penalty, heads[-1] if heads else None))
    return heads


def out_of_fold_logits(cases: Cases, folds: Sequence[npt.NDArray[np.intp]]) -> Floats:
    """Logits of every film by heads fitted without its fold, for each of the P `PENALTIES`; [P, N, 3].

    folds: the films of each fold, which together are all films.
    """
    logits = np.empty((len(PENALTIES), len(cases), len(FINDINGS)))
    for fold in folds:
        others, left_out = cases.only(np.setdiff1d(np.arange(len(cases)), fold)), cases.only(fold)
        for index, head in enumerate(fit_heads(others)):
            logits[index, fold] = head.logits(left_out.released, left_out.units)
    return logits


def weigh(logits: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Weight of each penalty [P], proportional to the likelihood of its out-of-fold logits [P, N, 3] to the power of 0.3.

    A weighted mean of the heads is better than the single head that is best on few films (10 draws of 20 films a class: AUC in
    sakha 0.821 against 0.816, in siim 0.827 against 0.820). The power is there because the likelihoods of few films differ by
    more than the heads do (compare pseudo-BMA+, Yao et al. 2018, doi:10.1214/17-BA1091).
    """
    likelihoods = log_softmax(logits, axis=2)[:, np.arange(len(labels)), labels].sum(axis=1)
    weights = np.exp(_TEMPERING * (likelihoods - likelihoods.max()))
    return np.asarray(weights / weights.sum())


def mean_head(heads: Sequence[HeadValues], weights: Floats) -> HeadValues:
    """The head whose logits are the weighted mean of theirs; it exists because logits are linear in a head's values."""
    return HeadValues(
        scale=float(sum(weight * head.scale for weight, head in zip(weights, heads, strict=True))),
        weights=np.tensordot(weights, np.stack([head.weights for head in heads]), 1),
        bias=np.tensordot(weights, np.stack([head.bias for head in heads]), 1),
    )


class _Problem:
    """Penalised loss as a function of one vector: scale, bias [k], weights [k, r] of the k classes that have films."""

    def __init__(self, cases: Cases, coordinates: Floats, penalty: float) -> None:
        present = np.unique(cases.labels)
        self.classes = len(present)
        self.rows = np.eye(len(FINDINGS))[:, present]
        centring = np.eye(self.classes) - 1 / self.classes
        self.centred_rows = self.rows @ centring
        shared = np.full_like(centring, 1 / self.classes)
        self._weight_penalty = penalty * (centring + SHARED_PENALTY_PER_FILM * len(cases) * shared)
        self._cases, self._coordinates = cases, coordinates
        self._truth = np.eye(len(FINDINGS))[cases.labels]

    def unpacked(self, vector: Floats) -> tuple[float, Floats, Floats]:
        """Scale, bias [k] and weights [k, r]."""
        return vector[0], vector[1 : 1 + self.classes], vector[1 + self.classes :].reshape(self.classes, -1)

    def loss_and_gradient(self, vector: Floats) -> tuple[float, Floats]:
        scale, bias, weights = self.unpacked(vector)
        cases, surplus = self._cases, scale - self._cases.released_scale
        logits = scale * cases.released + (self._coordinates @ weights.T) @ self.rows.T + self.centred_rows @ bias
        # SciPy's log_softmax takes three times as long for few films.
        shifted = logits - logits.max(axis=1, keepdims=True)
        likelihoods = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        error = np.exp(likelihoods) - self._truth
        pull = self._weight_penalty @ weights
        loss = (
            -float((likelihoods * self._truth).sum())
            + float((weights * pull).sum()) / 2
            + SCALE_PENALTY * surplus**2 / 2
            + BIAS_PENALTY * float(bias @ bias) / 2
        )
        gradient = [
            np.array([float((error * cases.released).sum()) + SCALE_PENALTY * surplus]),
            error.sum(axis=0) @ self.centred_rows + BIAS_PENALTY * bias,
            ((error @ self.rows).T @ self._coordinates + pull).ravel(),
        ]
        return loss, np.concatenate(gradient)
