"""Films as they were read -> the arrays that commissioning computes with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from service.model.decision import film_reasons
from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from training.commissioning.cases import SiteFilms
from training.commissioning.films.patients import numbered
from training.commissioning.films.read import ReadFilm
from training.evaluation.measures.confusion import FilmMask


def labelled_cases(films: Sequence[ReadFilm], manifest: ModelManifest) -> SiteFilms:
    """The arrays of films that all have a label, N >= 1."""
    return SiteFilms(
        labels=np.array([FINDINGS.index(each.film.finding) for each in films if each.film.finding], np.int64),
        logits=np.stack([each.logits for each in films]),
        embeddings=np.stack([each.embedding for each in films]),
        patients=numbered(each.patient for each in films),
        images=np.stack([each.image for each in films]),
        outlier_scores=outlier_scores(films),
        unusual_images=unusual_images(films, manifest),
    )


def outlier_scores(films: Sequence[ReadFilm]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Float64 [N]; 0 if the bundle has no statistics and so flags no outlier."""
    return np.array([each.observed.outlier_score or 0.0 for each in films])


def unusual_images(films: Sequence[ReadFilm], manifest: ModelManifest) -> FilmMask:
    """Whether the bundle flags each film for its picture or DICOM header, whatever the network answers; bool [N]."""
    # The outlier score depends on the network.
    return np.array([bool(film_reasons(replace(each.observed, outlier_score=None), manifest.outliers)) for each in films])
