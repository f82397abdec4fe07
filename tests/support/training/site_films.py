"""Films of a made-up hospital: released logits and embeddings with as much signal as a test asks for."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest, OutlierSpec
from tests.support.manifests import make_manifest
from training.commissioning.cases import SiteFilms

TEMPERATURE = 1.5

SPEC = OutlierSpec(threshold=2.0, image_bounds={}, films=500, flagged_share=0.01)


def site_manifest() -> ModelManifest:
    """Of a bundle whose thresholds suit none of these hospitals in particular."""
    manifest = make_manifest(temperature=TEMPERATURE)
    return manifest.model_copy(update={"outliers": SPEC})  # its file is not needed here


def site_films(
    per_class: Sequence[int] = (20, 0, 20),
    *,
    released: float = 0.0,
    planted: float = 0.0,
    features: int = 16,
    films_per_patient: int = 1,
    seed: int = 0,
) -> SiteFilms:
    """Films by class, in random order.

    released: by how much the released logit of the true class is raised, in standard deviations of its noise.
    planted: by how much the embedding tells the class, in standard deviations of its noise along one direction.
    """
    rng = np.random.default_rng(seed)
    films = sum(per_class)
    patients = np.repeat(np.arange(films), films_per_patient)[:films]  # of one class where its films are a multiple
    labels = np.repeat(np.arange(len(FINDINGS)), per_class)
    order = rng.permutation(films)
    labels, patients = labels[order], patients[order]
    directions = np.linalg.qr(rng.normal(size=(features, len(FINDINGS))))[0].T
    embeddings = 10 + rng.normal(size=(films, features)) + planted * directions[labels]
    truth = np.eye(len(FINDINGS))[labels]
    return SiteFilms(
        labels=labels.astype(np.int64),
        logits=2 * (rng.normal(size=truth.shape) + released * truth),
        embeddings=embeddings.astype(np.float32),
        patients=tuple(f"patient {number}" for number in patients),
        images=rng.integers(0, 256, (films, 32, 32), dtype=np.uint8),
        outlier_scores=rng.uniform(0.5, 1.5, films),
    )


def calibrated_films(films: int, seed: int = 0) -> SiteFilms:
    """Labels drawn from the released probabilities, so that nothing is left to learn."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (films, len(FINDINGS)))
    steps = softmax(logits / TEMPERATURE, axis=1).cumsum(axis=1)[:, :-1]
    labels = (rng.random((films, 1)) > steps).sum(axis=1)
    return SiteFilms(
        labels=labels.astype(np.int64),
        logits=logits,
        embeddings=rng.normal(size=(films, 16)).astype(np.float32),
        patients=tuple(map(str, range(films))),
        images=rng.integers(0, 256, (films, 32, 32), dtype=np.uint8),
        outlier_scores=rng.uniform(0.5, 1.5, films),
    )
