"""The site's head: drawn towards the released one, and zero where there is nothing to fit to."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from tests.support.training.site_films import TEMPERATURE, site_films
from training.commissioning.fitting.folds import patient_folds
from training.commissioning.fitting.head import (
    BIAS_PENALTY,
    PENALTIES,
    SCALE_PENALTY,
    SHARED_PENALTY_PER_FILM,
    Cases,
    fit_head,
    fit_heads,
    mean_head,
    out_of_fold_logits,
    weigh,
)


def cases(**signal: object) -> Cases:
    return Cases.of(site_films(**signal), TEMPERATURE)


def penalised_loss(given: Cases, scale: float, weights: np.ndarray, bias: np.ndarray, penalty: float) -> float:
    """As head.py describes it, written down again."""
    logits = scale * given.released + given.units @ weights.T + bias
    likelihood = log_softmax(logits, axis=1)[np.arange(len(given)), given.labels].sum()
    present = np.unique(given.labels)
    rows = weights[present]
    own, shared = rows - rows.mean(axis=0), np.repeat(rows.mean(axis=0)[None], len(rows), axis=0)
    ridge = penalty * (np.square(own).sum() + SHARED_PENALTY_PER_FILM * len(given) * np.square(shared).sum())
    others = SCALE_PENALTY * (scale - 1 / TEMPERATURE) ** 2 + BIAS_PENALTY * np.square(bias).sum()
    return float(-likelihood + (ridge + others) / 2)


@pytest.mark.parametrize("direction", range(8))
def test_the_fit_is_a_minimum_of_the_penalised_loss(direction: int):
    """The slope is zero in every direction that leaves the absent class alone; the first two are of scale and offsets."""
    given = cases(per_class=(30, 0, 30), planted=1.0, released=1.0, features=8)
    head = fit_head(given, 0.3)
    rng = np.random.default_rng(direction)
    scale = 1.0 if direction == 0 else 0.0
    turn = np.array([1.0, 0.0, -1.0]) * (direction == 1)
    step = rng.normal(size=head.weights.shape) * np.array([1.0, 0.0, 1.0])[:, None] * (direction > 1)

    def loss(way: float) -> float:
        return penalised_loss(given, head.scale + way * scale, head.weights + way * step, head.bias + way * turn, 0.3)

    assert (loss(1e-4) - loss(-1e-4)) / 2e-4 == pytest.approx(0, abs=5e-3)
    assert loss(0.1) > loss(0)
    assert loss(-0.1) > loss(0)


def test_a_strong_penalty_leaves_scale_and_offsets_alone():
    given = cases(planted=3.0, released=1.0)
    strong, none = fit_head(given, 1e6), fit_head(given, None)
    assert np.abs(none.weights).max() == 0
    assert np.abs(strong.weights).max() < 1e-4
    assert strong.scale == pytest.approx(none.scale, abs=1e-3)
    np.testing.assert_allclose(strong.bias, none.bias, atol=1e-3)


def test_a_class_without_films_keeps_its_row_of_zeros():
    head = mean_head(fit_heads(cases(per_class=(25, 0, 25), planted=3.0)), np.full(len(PENALTIES), 1 / len(PENALTIES)))
    assert not head.weights[1].any()
    assert head.bias[1] == 0
    assert head.weights[0].any()


def test_a_class_without_films_is_still_called_where_the_released_model_is_sure_of_it():
    """Normal and pneumonia are given, and the fitted classes do not rise above tuberculosis together."""
    given = cases(per_class=(40, 40, 0), planted=2.0, released=2.0)
    unseen = cases(per_class=(0, 0, 40), planted=2.0, released=3.0, seed=1)
    head = fit_head(given, 0.1)
    before = (unseen.released.argmax(axis=1) == 2).mean()
    after = (head.logits(unseen.released, unseen.units).argmax(axis=1) == 2).mean()
    assert before > 0.9
    assert after > before - 0.15


def test_a_planted_signal_is_found_out_of_fold():
    given = cases(per_class=(30, 30, 30), planted=4.0)
    logits = out_of_fold_logits(given, patient_folds(given.labels, list(map(str, range(90))), 0))
    weights = weigh(logits, given.labels)
    right = np.tensordot(weights, logits, 1).argmax(axis=1) == given.labels
    assert weights[PENALTIES.index(None)] < 0.01
    assert right.mean() > 0.85


def test_without_a_signal_no_penalty_is_preferred_to_having_no_weights():
    given = cases(per_class=(60, 60, 60), released=1.5)
    logits = out_of_fold_logits(given, patient_folds(given.labels, list(map(str, range(180))), 0))
    weights = weigh(logits, given.labels)
    assert weights.sum() == pytest.approx(1)
    assert weights[PENALTIES.index(None)] > weights[PENALTIES.index(0.03)]


def test_the_mean_of_heads_has_the_mean_of_their_logits():
    given = cases(planted=2.0)
    heads = fit_heads(given)
    weights = np.linspace(1, 2, len(heads)) / np.linspace(1, 2, len(heads)).sum()
    expected = sum(weight * head.logits(given.released, given.units) for weight, head in zip(weights, heads, strict=True))
    np.testing.assert_allclose(mean_head(heads, weights).logits(given.released, given.units), expected, atol=1e-9)


def test_the_stored_head_answers_as_the_fitted_one():
    films = site_films(planted=3.0, released=1.0)
    given = Cases.of(films, TEMPERATURE)
    head = fit_head(given, 0.1)
    stored = head.as_site_head().probabilities(films.logits.astype(np.float32), films.embeddings)
    np.testing.assert_allclose(stored, softmax(head.logits(given.released, given.units), axis=1), atol=1e-5)
