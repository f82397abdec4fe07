from itertools import product
from pathlib import Path

import pytest

from service.model.findings import FINDINGS
from training.data.folder import FilmFile
from training.data.held_out import learns_nothing_of, without_held_out
from training.errors import DatasetError

FILMS = [
    FilmFile(Path(name), name, split, finding, source, None)
    for split, finding, source in product(("train", "val"), FINDINGS, ("clinic", "hospital", "other"))
    if (name := f"{split}/{finding}/{source}.png")
]


def _left(names: str) -> set[tuple[str, str]]:
    return {(film.source, film.finding.value) for film in without_held_out(FILMS, names)}


def test_no_name_holds_out_nothing() -> None:
    assert without_held_out(FILMS, "") == FILMS


def test_a_source_is_held_out_with_all_its_findings() -> None:
    assert {source for source, _ in _left("clinic")} == {"hospital", "other"}


def test_several_sources_and_one_finding_of_a_source_are_held_out_together() -> None:
    assert _left("clinic, hospital/Normal") == {
        ("other", "Normal"), ("other", "Pneumonia"), ("other", "Tuberculosis"),
        ("hospital", "Pneumonia"), ("hospital", "Tuberculosis"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ("nowhere", r"no films of the source 'nowhere'.*held_out_source.*known: clinic, hospital, other"),
        ("clinic/Normale", r"no films of Normale of the source 'clinic'"),
        ("clinic,hospital,other/Normal", r"Without .* no films of Normal in train, Normal in val; hold out another"),
    ],
)
def test_what_is_not_there_or_a_class_needs_cannot_be_held_out(names: str, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        without_held_out(FILMS, names)


def test_a_source_of_which_one_finding_is_held_out_is_still_learnt_from() -> None:
    assert learns_nothing_of("clinic", "clinic,hospital/Normal")
    assert not learns_nothing_of("hospital", "clinic,hospital/Normal")
