from itertools import product
from pathlib import Path

import pytest

from service.model.findings import FINDINGS, Finding
from training.data.folder import FilmFile
from training.errors import DatasetError
from training.leave_one_out.folds import Fold, make_folds, require_unseen

# Of each source, in every split: the clinic has normal and TB films, the ward pneumonia alone, the archives everything.
FINDINGS_OF = {
    "clinic": (Finding.NORMAL, Finding.TUBERCULOSIS),
    "ward": (Finding.PNEUMONIA,),
    "archive": FINDINGS,
    "library": FINDINGS,
}
FILMS = [
    FilmFile(Path(name), name, split, finding, source, None)
    for source, findings in FINDINGS_OF.items()
    for split, finding in product(("train", "val", "test"), findings)
    if (name := f"{split}/{finding}/{source}.png")
]


def test_every_source_with_normal_and_diseased_films_is_a_fold() -> None:
    assert [fold.source for fold in make_folds(FILMS)] == ["archive", "clinic", "library"]


def test_a_fold_judges_the_films_of_its_source_from_every_split() -> None:
    fold = Fold("clinic", "clinic,ward")
    assert {film.relative.partition("/")[0] for film in fold.judged(FILMS)} == {"train", "val", "test"}
    assert {film.source for film in fold.judged(FILMS)} == {"clinic"}


def test_what_belongs_to_one_hospital_is_left_out_with_each_source_of_it() -> None:
    folds = make_folds(FILMS, ["library", "archive", "clinic"], ["archive,library/Normal"])
    # Of library the hospital names normal films alone, so that library itself is left out by its own name.
    assert [fold.held_out for fold in folds] == ["library", "archive,library/Normal", "clinic"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((["ward"],), "'ward' does not hold normal films and films of a disease; those that do: archive, clinic, library"),
        ((["archive"], ["archive,library,ward"]), "Without 'archive,library,ward' there are no films of Pneumonia"),
        (((), ["clinic,nowhere"]), "no films of the source 'nowhere'"),
    ],
)
def test_what_cannot_be_left_out_is_refused_before_anything_is_trained(arguments, complaint) -> None:
    with pytest.raises(DatasetError, match=complaint):
        make_folds(FILMS, *arguments)


def test_sources_without_two_classes_make_no_fold() -> None:
    with pytest.raises(DatasetError, match="No source holds both"):
        make_folds([film for film in FILMS if film.source == "ward"])


@pytest.fixture
def with_a_copy(tmp_path) -> list[FilmFile]:
    """Three films; the one of `ward` is the same file as one of `clinic`."""
    films = []
    for source, content in (("clinic", b"one"), ("clinic", b"two"), ("ward", b"one")):
        path = tmp_path / f"{source}-{content.decode()}.png"
        path.write_bytes(content)
        films.append(FilmFile(path, path.name, "train", Finding.NORMAL, source, None))
    return films


def test_a_film_that_the_run_would_learn_from_under_another_source_is_refused(with_a_copy) -> None:
    with pytest.raises(
        DatasetError, match=r"clinic-one\.png .* same file as ward-one\.png of ward.*--one-hospital clinic,ward"
    ):
        require_unseen([Fold("clinic", "clinic")], with_a_copy)


def test_copies_that_are_left_out_together_are_judged(with_a_copy) -> None:
    require_unseen([Fold("clinic", "clinic,ward")], with_a_copy)
