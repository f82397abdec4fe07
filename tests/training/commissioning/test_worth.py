"""`cxr evaluate --commission` on phantoms, through the released graph."""

import pytest

from service.commands.cxr import main


@pytest.fixture(scope="module")
def site(phantom_dataset):
    """Of source0, 42 phantoms of each finding, in two splits."""
    return phantom_dataset(films_per_class={"train": 64, "val": 20}, manifest=True)


def _evaluate(bundle, data, *options):
    return main(["evaluate", str(bundle), "--data", str(data), *options])


@pytest.mark.long
def test_the_table_has_a_row_for_each_source_number_of_films_and_stage(bundle_path, site, capsys):
    assert _evaluate(bundle_path, site, "--commission", "20", "--sources", "source0", "--draws", "1") == 0
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["source0", "20", stage] for stage in ("released", "fitted", "as written")]


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (("--commission", "20,many", "--sources", "source0"), 2, "give numbers of films such as 20,40,80"),
        (("--commission", "20"), 2, "name the sources"),
        (("--commission", "20", "--sources", "nowhere"), 1, "no films of the source 'nowhere'"),
    ],
)
def test_wrong_numbers_and_sources_are_named(bundle_path, data, options, status, complaint, capsys):
    assert _evaluate(bundle_path, data, *options) == status
    assert complaint in " ".join(capsys.readouterr().err.split())
