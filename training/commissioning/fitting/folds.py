"""Cross-validation folds by patient, and the films that they need."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from service.model.findings import FINDINGS, Finding
from training.commissioning.cases import SiteFilms
from training.errors import TooFewFilms

FOLDS = 5

LEAST_FILMS = 20

# Of each class. The films outside an outer fold are split again, and need several patients of each class.
LEAST_PATIENTS = 2 * FOLDS


def patient_folds(
    labels: npt.NDArray[np.int64], patients: Sequence[str], seed: int, folds: int = FOLDS
) -> list[npt.NDArray[np.intp]]:
    """Indices of the films of each fold, which together are all films. Folds share no patient, and class shares are similar.

    With fewer patients than `folds` there is one fold for each. That happens where many patients have films of several classes.
    """
    # Numbers instead of names: the splitter compares them.
    groups = np.unique(np.asarray(patients), return_inverse=True)[1]
    splitter = StratifiedGroupKFold(min(folds, int(groups.max()) + 1), shuffle=True, random_state=seed)
    return [left_out for _, left_out in splitter.split(np.zeros(len(labels)), labels, groups)]


def require_enough(films: SiteFilms) -> None:
    """Raise TooFewFilms for a class with 1 to 19 films or of fewer than 10 patients, or for fewer than two classes."""
    if len(films.labels) >= LEAST_FILMS and len(set(films.patients)) == 1:
        raise TooFewFilms(
            f"All {len(films.labels)} labelled films count as one patient's, perhaps because their headers have one PatientID; "
            "tell the patients apart in the column `patient` of labels.csv, or remove the PatientID from the headers."
        )
    for finding, count in films.films_by_finding().items():
        if 0 < count < LEAST_FILMS:
            raise TooFewFilms(
                f"{finding.value} has {_counted(count, 'film')}, commissioning needs {LEAST_FILMS} of a class; add more, "
                f"or leave the class out (--leave-out {finding.value})."
            )
        if 0 < (patients := _patients_of(films, finding)) < LEAST_PATIENTS:
            raise TooFewFilms(
                f"The {count} films of {finding.value} are of {_counted(patients, 'patient')}, commissioning needs "
                f"{LEAST_PATIENTS} of a class; add films of others, or leave the class out (--leave-out {finding.value})."
            )
    if len(films.present) < 2:
        names = ", ".join(FINDINGS[index].value for index in films.present) or "none"
        raise TooFewFilms(
            f"Commissioning needs labelled films of two classes, found {names}; add {LEAST_FILMS} films of another class."
        )


def _patients_of(films: SiteFilms, finding: Finding) -> int:
    chosen = films.labels == FINDINGS.index(finding)
    return len({patient for patient, has in zip(films.patients, chosen, strict=True) if has})


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
