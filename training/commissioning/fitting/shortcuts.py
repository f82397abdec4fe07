"""Shortcut control: how well do the border, histogram and sharpness of the films alone tell the site's classes apart?

They show the scanner and how a film was taken, but no lung.
"""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from service.film.arrays import GreyPixels
from service.model.findings import FINDINGS
from training.commissioning.cases import SiteFilms
from training.commissioning.fitting.figures import within_site_auc
from training.commissioning.fitting.folds import patient_folds
from training.commissioning.fitting.head import Cases, out_of_fold_logits, weigh
from training.evaluation.judging.masking import BORDER_SHARE
from training.evaluation.measures.confusion import Floats

_BORDER_SIDE_PX = 32
_HISTOGRAM_BINS = 32

# AUC by which the refitted head must exceed the control.
_LEAST_ADVANTAGE = 0.05

# A control with a lower AUC is no reason for a warning, whatever the head does.
_LEAST_CONTROL = 0.6


def shortcut_auc(films: SiteFilms, seed: int) -> float:
    """Mean out-of-fold AUC within the site of a head fitted to `shortcut_features` instead of embeddings."""
    features = np.stack([shortcut_features(image) for image in films.images])
    deviations = features.std(axis=0)
    varying = deviations > 1e-9
    if not varying.any():
        return 0.5
    # Over the films of all folds; this uses no labels.
    standardised = (features[:, varying] - features[:, varying].mean(axis=0)) / deviations[varying]
    # Scaled to a length of about 1, as embeddings have, so that the same penalties suit.
    units = standardised / np.sqrt(varying.sum())
    cases = Cases(films.labels, np.zeros((len(films), len(FINDINGS))), units, released_scale=1.0)
    logits = out_of_fold_logits(cases, patient_folds(films.labels, films.patients, seed))
    mean = np.tensordot(weigh(logits, films.labels), logits, 1)
    return float(within_site_auc(films.labels, softmax(mean, axis=1)))


def shortcut_features(image: GreyPixels) -> Floats:
    """Border pixels of the reduced film; its histogram, mean, standard deviation and log sharpness. image: uint8 [S, S]."""
    small = cv2.resize(image, (_BORDER_SIDE_PX, _BORDER_SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
    histogram = np.bincount(image.ravel() // (256 // _HISTOGRAM_BINS), minlength=_HISTOGRAM_BINS) / image.size
    laplacian = cv2.Laplacian(image, cv2.CV_16S, ksize=1)[1:-1, 1:-1]
    whole = [float(image.mean()), float(image.std()), float(np.log1p(laplacian.var()))]
    return np.concatenate([small[_border()], np.sqrt(histogram), whole])


def shortcut_warning(control: float, released: float, refitted: float) -> str | None:
    """A sentence if the control is nearly as good as the refitted head, or as good as the released one; all three are AUCs."""
    if control < max(_LEAST_CONTROL, min(released, refitted - _LEAST_ADVANTAGE)):
        return None
    return (
        "Border, histogram and sharpness of the films alone, which show no lung, tell the classes with an AUC of "
        f"{control:.3f} (the refitted head: {refitted:.3f}; the released model: {released:.3f}): what was gained here may be "
        "the scanner and not the lungs. Check whether films of the classes come from different devices, wards or times."
    )


def _border() -> npt.NDArray[np.bool_]:
    """Which pixels of the reduced film lie in its border; bool [_BORDER_SIDE_PX, _BORDER_SIDE_PX]."""
    width = max(1, round(BORDER_SHARE * _BORDER_SIDE_PX))
    border = np.ones((_BORDER_SIDE_PX, _BORDER_SIDE_PX), dtype=bool)
    border[width:-width, width:-width] = False
    return border
