"""Subsets of films that keep the shares of classes and sources."""

from collections import Counter
from pathlib import Path

import pytest

from service.model.findings import FINDINGS, Finding
from training.data.folder import FilmFile
from training.data.subset import films_of_every_class, stratified_films
from training.errors import ConfigError


def film_file(relative, finding, source):
    return FilmFile(Path(), relative, "train", finding, source, None)


SIX_EACH = [film_file(f"{finding}{i}", finding, f"source{i % 2}") for finding in FINDINGS for i in range(6)]


def test_a_subset_keeps_the_shares_of_classes_and_sources_and_larger_ones_hold_smaller_ones():
    films = [film_file(f"{finding}{i}", finding, f"s{i % 4 == 0}") for finding in FINDINGS for i in range(40)]
    small, large = stratified_films(films, 24, seed=3), stratified_films(films, 60, seed=3)
    assert set(small) < set(large)
    assert Counter((film.finding, film.source) for film in large) == {
        (finding, source): count for finding in FINDINGS for source, count in (("sTrue", 5), ("sFalse", 15))
    }
    assert small != stratified_films(films, 24, seed=4)
    assert stratified_films(films, 1000, seed=0) == films


def test_too_small_a_subset_is_refused_with_what_it_lacks():
    with pytest.raises(ConfigError, match=r"Of 2 films drawn none is of (Normal|Pneumonia|Tuberculosis); raise --films"):
        films_of_every_class(SIX_EACH, 2, seed=0)


def test_the_kinds_of_finding_are_all_in_a_small_subset():
    assert {film.finding for film in stratified_films(SIX_EACH, 6, seed=0)} == set(Finding)
