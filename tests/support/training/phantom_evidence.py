"""Evidence for parts of an evaluation, made of phantoms."""

from pathlib import Path

import numpy as np

from service.model.bundle import ModelBundle
from service.model.predictor import Predictor
from training.data.folder import scan_folder
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import Bootstrap


class PhantomLungs:
    """Outlines the two ellipses of a phantom's lungs."""

    def outline(self, film: np.ndarray) -> np.ndarray:
        height, width = film.shape
        y, x = np.mgrid[0:height, 0:width]
        inside = [((x / width - 0.5 - side * 0.2) / 0.145) ** 2 + ((y / height - 0.47) / 0.33) ** 2 < 1 for side in (-1, 1)]
        return np.logical_or(*inside)


class NoLungs:
    """Finds no lungs in any film."""

    def outline(self, film: np.ndarray) -> np.ndarray:
        return np.zeros(film.shape, bool)


def phantom_evidence(bundle: ModelBundle, data: Path, local: Path, lungs: object = None) -> Evidence:
    predictor, bootstrap = Predictor.from_bundle(bundle), Bootstrap(resamples=40, seed=0)
    return Evidence(bundle, predictor, scan_folder(data), "test", threads=2, bootstrap=bootstrap, local=local, lungs=lungs)
