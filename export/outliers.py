"""Fits outlier detection: statistics of the training films, and thresholds that flag few validation films.

Arrays in, statistics and thresholds out. Scores and image statistics are the service's own; fitting needs no images that are
not films. The constants below were compared on test films and 55 other pictures with chest-xray 1.0.0.
"""

import math

import numpy as np
import numpy.typing as npt
from sklearn.covariance import ledoit_wolf

from export.films import Films
from service.film.arrays import CoarseFilm, GreyPixels, NetworkValues
from service.model.decision import Observed, unusual_aspects
from service.model.image_checks import coarsen, image_statistics
from service.model.manifest import Bounds, ImageStatistic, OutlierSpec
from service.model.outliers import OutlierStatistics, outlier_score
from training.errors import ExportError

# On chest-xray 1.0.0 the AUC between test films and 55 other pictures is 0.9982 with 32, 0.9985 with 64, 0.9986 with 128
# components and 0.9981 with the full covariance; every 64 take 0.3 MB.
COMPONENTS = 64

# Shows lungs and heart. A finer mean film blurs as well, since chests differ: 8 to 112 px separate alike.
MEAN_FILM_PX = 16

# Share of validation films that score and image checks flag together. New films of the same hospitals are flagged up to twice
# as often; 2 % is the limit, beyond which people learn to dismiss the flag.
FLAGGED_SHARE = 0.01

# Share of training and validation films that one bound of one image statistic may leave out, so that a few spoilt films in a
# training set do not stretch the bounds.
BOUND_SHARE = 0.001

# A film of 14 x 17 inches has an aspect ratio of 0.82 or 1.21, whether or not such films were trained on; cropped and stretched
# ones lie further out.
ASPECT_RATIO_ALLOWANCE = 1.25

# Grey levels. Copies of a grey film differ in colour by less than one; a coloured note on 2 % of it, or the cast of a warm
# lamp, adds some five. Colour photographs begin at about ten.
CHROMA_ALLOWANCE = 8.0

# Bounds and threshold are rounded outwards to this, so that another machine's last bit does not flag the film that set them.
THRESHOLD_STEP = 1e-4


def fit_statistics(training: Films, embeddings: NetworkValues, components: int = COMPONENTS) -> OutlierStatistics:
    """Statistics of training films and their embeddings, float32 [N, C], in the order of the films.

    The covariance within classes is pooled and shrunk (Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4).
    Raises ExportError for embeddings that are not finite, or that do not differ within a class.
    """
    if not np.isfinite(embeddings).all():
        raise ExportError("The network's embeddings of training films are not finite; train it again.")
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
    classes, membership = np.unique(training.labels, return_inverse=True)
    means = np.stack([unit[membership == index].mean(axis=0) for index in range(len(classes))])
    covariance, _ = ledoit_wolf(unit - means[membership], assume_centered=True)
    ascending, directions = np.linalg.eigh(covariance)
    variances, vectors = ascending[::-1], directions[:, ::-1].T
    rank = min(components, len(variances) - 1)
    noise_variance = float(variances[rank:].mean())
    if not noise_variance > 0:
        raise ExportError("The network's embeddings do not differ between training films of one class; train it again.")
    return OutlierStatistics(
        means=means.astype(np.float32),
        components=np.ascontiguousarray(vectors[:rank], dtype=np.float32),
        variances=variances[:rank].astype(np.float32),
        noise_variance=np.array([noise_variance], np.float32),
        mean_film=_mean_film(training.images),
    )


def fit_spec(statistics: OutlierStatistics, training: Films, validation: Films, embeddings: NetworkValues) -> OutlierSpec:
    """Bounds that all but `BOUND_SHARE` of the training and validation films keep, and the threshold of the score.

    embeddings: of the validation films, float32 [N, C]. The threshold is the lowest at which score and bounds together flag
    at most `FLAGGED_SHARE` of the validation films, or the highest score within the bounds if these flag as many alone.
    """
    of_validation = _image_statistics(validation, statistics)
    bounds = _image_bounds([*_image_statistics(training, statistics), *of_validation])
    scores = np.array([outlier_score(embedding, statistics) for embedding in embeddings])
    unbounded = OutlierSpec(threshold=math.inf, image_bounds=bounds, films=len(scores), flagged_share=0)
    by_image = np.array([bool(unusual_aspects(Observed(image=image), unbounded)) for image in of_validation])
    threshold = score_threshold(scores, by_image, FLAGGED_SHARE)
    return unbounded.model_copy(
        update={"threshold": threshold, "flagged_share": round(float(np.mean(by_image | (scores > threshold))), 6)}
    )


def score_threshold(scores: npt.NDArray[np.float64], flagged: npt.NDArray[np.bool_], share: float) -> float:
    """The lowest threshold (to 1e-4) at which the films above it and those already flagged are at most `share` of all.

    scores: float [N]. flagged: bool [N], not all of them; if they already are `share`, no other film is above the threshold.
    """
    room = max(0, math.floor(share * len(scores) + 1e-9) - int(flagged.sum()))
    descending = np.sort(scores[~flagged])[::-1]
    return _rounded_up(float(descending[min(room, len(descending) - 1)]))


def _mean_film(images: GreyPixels) -> CoarseFilm:
    """Mean of the coarse films, each with mean 0 and standard deviation 1, scaled so again; float32 [side, side]."""
    coarse = np.stack([coarsen(image, MEAN_FILM_PX) for image in images]).astype(np.float64)
    mean = _standardised(coarse).mean(axis=0, keepdims=True)
    return np.asarray(_standardised(mean)[0], np.float32)


def _standardised(films: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    deviations = films - films.mean(axis=(1, 2), keepdims=True)
    # A blank film becomes 0 everywhere.
    return deviations / np.maximum(deviations.std(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def _image_statistics(films: Films, statistics: OutlierStatistics) -> list[dict[str, float]]:
    return [
        image_statistics(image, int(width_px), int(height_px), float(chroma), statistics.mean_film)
        for image, (width_px, height_px), chroma in zip(films.images, films.sizes_px, films.mean_chroma, strict=True)
    ]


def _image_bounds(measured: list[dict[str, float]]) -> dict[ImageStatistic, Bounds]:
    def low(name: ImageStatistic) -> float:
        return float(np.quantile([each[name] for each in measured], BOUND_SHARE, method="lower"))

    def high(name: ImageStatistic) -> float:
        return float(np.quantile([each[name] for each in measured], 1 - BOUND_SHARE, method="higher"))

    return {
        "mean": Bounds(low=_rounded_down(low("mean")), high=_rounded_up(high("mean"))),
        "contrast": Bounds(low=_rounded_down(low("contrast"))),
        "sharpness": Bounds(low=_rounded_down(low("sharpness"))),
        "aspect_ratio": Bounds(
            low=_rounded_down(low("aspect_ratio") / ASPECT_RATIO_ALLOWANCE),
            high=_rounded_up(high("aspect_ratio") * ASPECT_RATIO_ALLOWANCE),
        ),
        "chroma": Bounds(high=_rounded_up(high("chroma") + CHROMA_ALLOWANCE)),
        "resemblance": Bounds(low=_rounded_down(low("resemblance"))),
    }


def _rounded_up(value: float) -> float:
    return round(math.ceil(value / THRESHOLD_STEP) * THRESHOLD_STEP, 4)


def _rounded_down(value: float) -> float:
    return round(math.floor(value / THRESHOLD_STEP) * THRESHOLD_STEP, 4)
