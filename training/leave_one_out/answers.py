"""A model's answers on the films of a hospital that it has never seen, and their metrics."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS, Finding
from training.errors import DatasetError
from training.evaluation.measures.calibration import one_vs_rest_ece
from training.evaluation.measures.confusion import FilmMask, Floats, Labels, mean_of_defined, ratio
from training.evaluation.measures.discrimination import pair_auc

# Name of a metric -> its column in the table.
METRICS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "ece": "macro ECE",
    "coverage": "sets hold the truth",
    "flagged": "flagged",
    "errors_flagged": "errors flagged",
}
_NORMAL = FINDINGS.index(Finding.NORMAL)


@dataclass(frozen=True)
class Answers:
    """One model's answers on N films of one source."""

    labels: Labels  # indices into FINDINGS, int [N]
    probabilities: Floats  # calibrated, [N, C]
    sets: FilmMask  # whether each finding is in the prediction set, bool [N, C]
    flagged: FilmMask  # whether a person must look at the film, bool [N]
    groups: npt.NDArray[np.str_]  # patient or group of each film, [N]
    names: npt.NDArray[np.str_]  # path of each film within the data folder, [N]

    def write(self, path: Path) -> None:
        """Write all arrays into one file. A kill while writing leaves no file at `path`."""
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as stream:
            np.savez_compressed(stream, **{field.name: getattr(self, field.name) for field in fields(self)})
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Answers":
        """Read what `write` wrote. Raises DatasetError."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
            raise DatasetError(f"{path} does not hold the answers of a run; delete it and run the command again.") from fault

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """METRICS under each of B sets of film weights, [B, N] -> [B] each; NaN where undefined.

        The AUC is that of each disease against normal, averaged over the diseases of the source.
        """
        labels, called = self.labels, self.probabilities.argmax(axis=1)
        wrong = (called != labels).astype(float)
        everything = weights.sum(axis=-1)
        diseases = sorted(set(labels.tolist()) - {_NORMAL})
        areas = [pair_auc(labels, self.probabilities, disease, _NORMAL, weights) for disease in diseases]
        return {
            "auc": mean_of_defined(np.stack(areas, axis=-1)),
            "accuracy": ratio(weights @ (1.0 - wrong), everything),
            "ece": mean_of_defined(one_vs_rest_ece(labels, self.probabilities, weights)),
            "coverage": ratio(weights @ self.sets[np.arange(len(labels)), labels].astype(float), everything),
            "flagged": ratio(weights @ self.flagged.astype(float), everything),
            "errors_flagged": ratio(weights @ (wrong * self.flagged), weights @ wrong),
        }
