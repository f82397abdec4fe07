"""Folds by patient, and how many films commissioning takes."""

from dataclasses import replace

import numpy as np
import pytest

from service.model.findings import Finding
from tests.support.training.site_films import site_films
from training.commissioning.fitting.folds import patient_folds, require_enough
from training.errors import TooFewFilms


@pytest.mark.parametrize("films_per_patient", [1, 2, 5])
def test_no_patient_is_in_two_folds_and_every_film_is_in_one(films_per_patient: int):
    films = site_films((40, 40, 40), films_per_patient=films_per_patient)
    folds = patient_folds(films.labels, films.patients, 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(120))
    patients = [{films.patients[index] for index in fold} for fold in folds]
    assert sum(map(len, patients)) == len(set(films.patients))


def test_every_class_is_on_both_sides_of_every_fold():
    films = site_films((20, 0, 60))
    for fold in patient_folds(films.labels, films.patients, 0):
        assert set(films.labels[fold]) == {0, 2}
        assert set(np.delete(films.labels, fold)) == {0, 2}


def test_fewer_patients_than_folds_make_fewer_folds():
    films = site_films((20, 20, 20), films_per_patient=15)
    folds = patient_folds(films.labels, films.patients, 0)
    assert len(folds) == len(set(films.patients)) < 5
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))


def test_a_class_with_too_few_films_is_named_with_number_and_remedy():
    with pytest.raises(TooFewFilms, match=r"Pneumonia has 19 films, commissioning needs 20 .*--leave-out Pneumonia"):
        require_enough(site_films((20, 19, 30)))
    with pytest.raises(TooFewFilms, match="Tuberculosis has 1 film, "):
        require_enough(site_films((20, 0, 1)))


def test_a_class_of_too_few_patients_is_named():
    films = site_films((20, 0, 20))
    patients = tuple("one" if label == 2 else name for label, name in zip(films.labels, films.patients, strict=True))
    with pytest.raises(TooFewFilms, match="The 20 films of Tuberculosis are of 1 patient, commissioning needs 10"):
        require_enough(replace(films, patients=patients))


def test_one_patient_for_all_films_is_named_with_its_likely_cause():
    films = site_films((40, 0, 40))
    with pytest.raises(
        TooFewFilms, match="All 80 labelled films count as one patient's, perhaps because their headers have one"
    ):
        require_enough(replace(films, patients=("one",) * 80))


def test_one_class_alone_is_refused():
    with pytest.raises(TooFewFilms, match="two classes, found Normal"):
        require_enough(site_films((40, 0, 0)))


def test_one_class_may_be_missing():
    films = site_films((20, 0, 20))
    require_enough(films)
    assert films.films_by_finding()[Finding.PNEUMONIA] == 0
