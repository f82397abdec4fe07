"""`cxr evaluate --commission` on phantoms, through the released graph."""

import pytest

from service.commands.cxr import main
from service.model.bundle import ModelBundle
from training.commissioning.worth import has_learnt_from


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


def test_a_bundle_that_was_trained_on_a_source_is_said_to_show_nothing_of_a_hospital_never_seen(bundle_path):
    measured = {"trained_on_this_folder": True, "per_source": {"source0": {}}}
    manifest = ModelBundle.open(bundle_path).manifest
    for held_out, expected in (("", True), ("source0", False)):
        recipe = {"data": {"held_out_source": held_out}}
        changed = manifest.model_copy(update={"test_metrics": measured, "training_config": recipe})
        assert has_learnt_from("source0", changed) is expected
        assert not has_learnt_from("source1", changed)


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (("--commission", "20,many", "--sources", "source0"), 2, "give numbers of films such as 20,40,80"),
        (("--commission", "20"), 2, "name the sources"),
        (("--commission", "20", "--sources", "nowhere"), 1, "no films of the source 'nowhere'"),
        (("--commission", "19", "--sources", "source0"), 1, "takes 20 films of a class or more, not 19"),
        (("--commission", "20", "--sources", "source0"), 1, "source0 has films of 6 patients with Normal: after 20 films"),
        (("--commission", "20", "--sources", "source0", "--seeds", "3"), 2, "--seeds: has no meaning with --commission"),
    ],
)
def test_wrong_numbers_and_sources_are_named(bundle_path, data, options, status, complaint, capsys):
    assert _evaluate(bundle_path, data, *options) == status
    assert complaint in " ".join(capsys.readouterr().err.split())
