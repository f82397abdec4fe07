"""What commissioning is worth on films left over."""

from dataclasses import replace

import pytest

from tests.support.training.site_films import site_films, site_manifest
from training.commissioning.trial import STAGES, draw, run_trials, trials_table
from training.errors import DatasetError


def test_a_planted_signal_is_worth_its_accuracy_on_patients_left_over():
    films = site_films((60, 0, 60), planted=4.0, films_per_patient=2)
    trials = list(run_trials("clinic", films, site_manifest(), per_class=25, draws=2))
    assert [trial.head_written for trial in trials] == [True, True]
    for trial in trials:
        released, fitted, written = (trial.figures[stage] for stage in STAGES)
        assert fitted["accuracy"] > released["accuracy"] + 0.3
        assert written["accuracy"] == fitted["accuracy"]
    header, _, *rows = trials_table(trials).splitlines()
    assert "AUC" in header
    assert len(rows) == len(STAGES)
    assert "released" in rows[0]


def test_a_figure_that_is_undefined_on_all_draws_is_null_in_the_file_and_nan_in_the_table():
    [trial] = run_trials("clinic", site_films((60, 0, 60), planted=9.0), site_manifest(), per_class=25, draws=1)
    assert trial.figures["fitted"]["errors_flagged"] is None  # there are no errors
    row = trials_table([trial]).splitlines()[3]
    assert "fitted" in row and "nan" in row


def test_no_patient_is_on_both_sides_of_a_draw():
    films = site_films((60, 0, 60), films_per_patient=3)
    given, left_over = draw(films, 20, seed=0)
    assert given.films_by_finding() == {"Normal": 20, "Pneumonia": 0, "Tuberculosis": 20}
    assert left_over.patients
    assert not set(given.patients) & set(left_over.patients)


def test_a_class_with_fewer_films_than_are_drawn_is_refused():
    with pytest.raises(DatasetError, match="A class has 19 films that can be used, fewer than the 20"):
        draw(site_films((60, 0, 19)), 20, seed=0)


def test_a_draw_that_takes_every_patient_of_a_class_is_refused():
    films = site_films((60, 0, 60))
    of_two = tuple(str(index % 2) if label == 2 else f"{index}" for index, label in enumerate(films.labels, start=1000))
    with pytest.raises(DatasetError, match="no film of other patients"):
        draw(replace(films, patients=of_two), 20, seed=0)
