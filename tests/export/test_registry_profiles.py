"""Site profiles in the registry: a release and its profile are chosen together, and go back together."""

import json
import shutil

import numpy as np
import pytest

from export.registry import Registry
from service.model.bundle import ModelBundle
from service.model.releases import STATE_NAME, Served, locate_profile, read_choice
from tests.export.test_registry import linked_graph
from tests.support.registry_house import damaged, listed, run, said, served
from tests.support.site_profiles import make_profile


@pytest.mark.parametrize(
    "arguments", [["mercy-2"], ["sites/mercy-2"], ["--site", "mercy-2"], ["1.1.0", "--site", "sites/mercy-2"]]
)
def test_a_profile_is_promoted_with_the_release_that_it_belongs_to(house, arguments, capsys):
    assert run(house, "promote", *arguments, "--note", "Measured in November.") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-2")
    assert locate_profile(None, None, house / "models") == house / "sites" / "mercy-2"
    assert capsys.readouterr().out.splitlines()[-1].startswith("Promoted: chest-xray-1.1.0 with sites/mercy-2. The service")
    entry = Registry(house / "models").log()[0]
    assert (entry.release, entry.site, entry.before, entry.site_before) == (
        "chest-xray-1.1.0", "mercy-2", "chest-xray-1.0.0", "mercy-1",
    )  # fmt: skip
    assert run(house, "log") == 0
    first, note = capsys.readouterr().out.splitlines()[:2]
    assert first.endswith("promoted chest-xray-1.1.0 with sites/mercy-2 (before: chest-xray-1.0.0 with sites/mercy-1)")
    assert note.endswith("Measured in November.")


def test_a_path_to_another_folder_of_the_same_name_is_not_promoted(house, tmp_path, capsys, monkeypatch):
    other = shutil.copytree(house, tmp_path / "other", copy_function=linked_graph)
    before = served(house)
    for path, remedy in (
        (other / "sites" / "mercy-2", "copy it into sites/ first"),
        (tmp_path / "nowhere" / "mercy-2", "copy it into sites/ first"),
        (other / "models" / "chest-xray-1.1.0", "`cxr registry add` it first"),
    ):
        assert run(house, "promote", str(path)) == 2
        assert remedy in " ".join(capsys.readouterr().err.replace("│", " ").split())
    monkeypatch.chdir(other)
    assert run(house, "promote", "sites/mercy-2") == 2
    assert served(house) == before
    assert run(house, "promote", str(house / "sites" / "mercy-2")) == 0
    assert run(house, "promote", str(house / "models" / "chest-xray-1.0.0")) == 0
    assert served(house) == Served("chest-xray-1.0.0", "mercy-1")


def test_rolling_back_goes_back_to_the_release_with_the_profile_that_it_had(house, capsys):
    for arguments in (["mercy-2"], ["mercy-3"], ["2.0.0", "--without-profile"]):
        assert run(house, "promote", *arguments) == 0
    went_back = []
    for _ in range(3):
        assert run(house, "rollback") == 0
        went_back.append(str(served(house)))
    assert went_back == [
        "chest-xray-1.1.0 with sites/mercy-3",
        "chest-xray-1.1.0 with sites/mercy-2",
        "chest-xray-1.0.0 with sites/mercy-1",
    ]
    assert Registry(house / "models").log()[0].site_before == "mercy-2"


def test_profiles_of_one_release_push_no_other_release_out_of_the_fallbacks(house):
    bundle = ModelBundle.open(house / "models" / "chest-xray-1.0.0")
    for number in range(4, 7):
        make_profile(bundle, house / "sites", version=number)
        assert run(house, "promote", f"mercy-{number}") == 0
    assert read_choice(house / "models").bundles == ["chest-xray-1.0.0", "chest-xray-2.0.0", "chest-xray-1.1.0"]


def test_a_release_takes_over_with_its_newest_profile_of_the_site(house):
    assert run(house, "promote", "1.1.0") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-3")


def test_a_release_that_is_not_commissioned_does_not_take_over_unless_insisted(house, capsys):
    path = house / "models" / "chest-xray-2.0.0"
    assert said(capsys, house, "promote", "2.0.0") == (
        "sites/mercy-1 is served, and chest-xray-2.0.0 is not commissioned for mercy. Run `cxr commission FOLDER --site mercy "
        f"--bundle {path}`, then `cxr registry promote chest-xray-2.0.0`; --without-profile promotes it without one.\n"
    )
    make_profile(ModelBundle.open(path), house / "sites", name="clinic")
    assert "not commissioned for mercy" in said(capsys, house, "promote", "2.0.0"), "a profile of another site is none"
    assert run(house, "promote", "2.0.0", "--without-profile") == 0
    assert served(house) == Served("chest-xray-2.0.0")


def test_a_site_is_known_by_its_profile_whatever_the_folder_that_cxr_site_names(house, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_SITE", str(shutil.copytree(house / "sites" / "mercy-2", tmp_path / "profile")))
    assert run(house, "promote", "1.1.0") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-3")


def test_an_unverified_profile_does_not_take_over_from_a_verified_one(house, capsys):
    path = house / "models" / "chest-xray-2.0.0"
    make_profile(ModelBundle.open(path), house / "sites", version=4, verified=False)
    refusal = said(capsys, house, "promote", "2.0.0")
    assert "chest-xray-2.0.0 has only unverified profiles of mercy" in refusal
    assert (
        "`cxr registry promote sites/mercy-4` promotes it with that profile, and --without-profile promotes it without one."
        in refusal
    )
    assert run(house, "promote", "mercy-4") == 0, "named, it is chosen"
    make_profile(ModelBundle.open(house / "models" / "chest-xray-1.1.0"), house / "sites", version=5, verified=False)
    assert run(house, "promote", "1.1.0") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-5"), "and then none is verified"


def test_a_release_that_was_served_with_a_profile_comes_back_with_it(house):
    assert run(house, "promote", "2.0.0", "--without-profile") == 0
    assert run(house, "promote", "1.0.0") == 0
    assert served(house) == Served("chest-xray-1.0.0", "mercy-1")


def test_what_is_chosen_already_is_not_promoted_again_and_its_profile_can_be_dropped(house, capsys):
    assert "chest-xray-1.0.0 with sites/mercy-1 is chosen already." in said(capsys, house, "promote", "1.0.0")
    assert run(house, "promote", "1.0.0", "--without-profile") == 0
    assert served(house) == Served("chest-xray-1.0.0")


@pytest.mark.parametrize(("harm", "fault"), [(damaged, "SHA-256"), (shutil.rmtree, "No site profile at")])
def test_a_damaged_or_missing_profile_is_neither_promoted_nor_rolled_back_to(house, capsys, harm, fault):
    harm(house / "sites" / "mercy-2")
    assert fault in said(capsys, house, "promote", "mercy-2")
    assert run(house, "promote", "mercy-3") == 0
    harm(house / "sites" / "mercy-1")
    said_now = said(capsys, house, "rollback")
    assert (
        said_now.startswith("chest-xray-1.0.0 with sites/mercy-1 cannot be served. Nothing was changed.") and fault in said_now
    )


def test_a_profile_whose_golden_answers_differ_is_not_promoted(house, capsys):
    wrong = np.full((6, 3), 1 / 3, np.float32)
    make_profile(ModelBundle.open(house / "models" / "chest-xray-1.1.0"), house / "sites", version=4, golden=wrong)
    assert "does not reproduce the commissioned answers" in said(capsys, house, "promote", "mercy-4")


def test_a_profile_is_not_served_with_another_release(house, capsys):
    assert "belongs to chest-xray 1.1.0" in said(capsys, house, "promote", "2.0.0", "--site", "mercy-2")
    shutil.rmtree(house / "models" / "chest-xray-1.1.0")
    refused = said(capsys, house, "promote", "mercy-2")
    assert refused.startswith(f"sites/mercy-2 belongs to chest-xray-1.1.0, which is not a release in {house / 'models'};")
    assert "`cxr registry add`" in refused


def test_a_profile_in_a_folder_of_another_name_is_not_chosen(house, capsys):
    shutil.copytree(house / "sites" / "mercy-2", house / "sites" / "clinic-7")
    assert "name the folder mercy-2" in said(capsys, house, "promote", "clinic-7")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "Give a VERSION or a profile"),
        (["mercy-1", "--site", "mercy-2"], "two profiles"),
        (["mercy-2", "--without-profile"], "contradicts"),
        (["1.1.0", "--site", "mercy-2", "--without-profile"], "contradicts"),
    ],
)
def test_wrong_usage_is_told(house, arguments, fault, capsys):
    assert run(house, "promote", *arguments) == 2
    assert fault in capsys.readouterr().err
    assert served(house) == Served("chest-xray-1.0.0", "mercy-1")


def test_a_state_from_before_there_were_profiles_goes_on(house):
    (house / "models" / STATE_NAME).write_text(
        json.dumps({"serving": "chest-xray-1.0.0", "previous": ["chest-xray-2.0.0"], "log": []})
    )
    assert run(house, "promote", "1.1.0") == 0, "no site is commissioned"
    assert run(house, "promote", "mercy-1") == 0
    assert run(house, "rollback") == 0
    assert served(house) == Served("chest-xray-1.1.0")


def test_a_profile_that_a_setting_names_counts_as_commissioned_and_is_told_of(house, tmp_path, capsys, monkeypatch):
    (house / "models" / STATE_NAME).unlink()
    shutil.move(house / "sites", tmp_path / "elsewhere")
    monkeypatch.setenv("CXR_SITE", str(tmp_path / "elsewhere" / "mercy-1"))
    assert run(house, "promote", "2.0.0") == 1
    assert "chest-xray-2.0.0 is not commissioned for mercy" in capsys.readouterr().err
    assert run(house, "promote", "1.1.0") == 0
    assert served(house) == Served("chest-xray-1.1.0"), "its profile is not in sites/"
    assert "CXR_SITE is set here, to" in capsys.readouterr().out
    assert "applies that profile, whatever is chosen here" in listed(house, capsys)[1]


def test_a_profile_in_sites_commissions_a_release_though_the_setting_names_one_elsewhere(house, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    shutil.move(house / "sites" / "mercy-1", tmp_path / "elsewhere")
    monkeypatch.setenv("CXR_SITE", str(tmp_path / "elsewhere" / "mercy-1"))
    assert run(house, "promote", "1.1.0") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-3")


def test_a_setting_that_cannot_be_read_here_asks_for_a_verified_profile_of_its_name(house, capsys, monkeypatch):
    """As in a pod that retrains: the profile is in the image of another pod."""
    monkeypatch.setenv("CXR_SITE", "/home/bentoml/bento/src/sites/mercy-1")
    assert "chest-xray-2.0.0 is not commissioned for mercy" in said(capsys, house, "promote", "2.0.0")


def test_an_empty_setting_is_as_none_at_all(house, monkeypatch, capsys):
    monkeypatch.setenv("CXR_SITE", "")
    assert run(house, "promote", "1.1.0") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-3")
    assert "CXR_SITE" not in capsys.readouterr().out
    assert listed(house, capsys)[1] == "The service loads chest-xray-1.1.0 with sites/mercy-3."


def test_a_note_names_what_is_served(house):
    run(house, "note", "Reviewed by radiology.")
    entry = Registry(house / "models").log()[0]
    assert (entry.event, entry.release, entry.site, entry.site_before) == ("kept", "chest-xray-1.0.0", "mercy-1", "mercy-1")


def test_a_damaged_state_is_set_aside_when_a_profile_is_promoted(house):
    (house / "models" / STATE_NAME).write_text("{")
    assert run(house, "promote", "mercy-2") == 0
    assert served(house) == Served("chest-xray-1.1.0", "mercy-2")
    assert "kept as registry.json.damaged" in Registry(house / "models").log()[0].note
