"""Site profiles in the list of the registry."""

import shutil

from service.model.bundle import ModelBundle
from service.model.releases import STATE_NAME
from service.model.site_profile import SITE_GOLDEN_NAME
from tests.export.test_registry import other_weights
from tests.support.registry_house import damaged, listed, run
from tests.support.site_profiles import make_profile


def test_the_list_has_a_line_for_each_profile(house, capsys):
    make_profile(
        ModelBundle.open(house / "models" / "chest-xray-2.0.0"),
        house / "sites",
        name="clinic",
        verified=False,
        films={"unlabelled": 250},
    )
    run(house, "promote", "mercy-2")
    damaged(house / "sites" / "mercy-3")
    (releases, profiles), beneath = listed(house, capsys)
    assert list(profiles) == ["profile", "clinic-1", "mercy-3", "mercy-2", "mercy-1"]
    assert profiles["mercy-2"] == (
        "mercy-2 chest-xray-1.1.0 2026-11-28 40 / 0 / 40 yes 0.817 -> 0.858 0.742 -> 0.789 chosen, loaded"
    )
    assert profiles["mercy-1"].endswith("0.789 previous")
    assert profiles["clinic-1"] == "clinic-1 chest-xray-2.0.0 2026-11-28 250 unlabelled no - -"
    assert "mercy-3 damaged: " in profiles["mercy-3"] and SITE_GOLDEN_NAME in profiles["mercy-3"]
    assert releases["chest-xray-1.1.0"].endswith("chosen, loaded")
    assert beneath == "The service loads chest-xray-1.1.0 with sites/mercy-2."


def test_the_list_names_a_profile_without_its_release_and_a_chosen_one_that_is_gone(house, capsys):
    shutil.rmtree(house / "models" / "chest-xray-1.1.0")
    shutil.rmtree(house / "sites" / "mercy-1")
    (_, profiles), beneath = listed(house, capsys)
    assert profiles["mercy-2"].endswith("release missing")
    assert profiles["mercy-1"] == "mercy-1 chosen, missing"
    assert beneath.startswith("The service does not start, because sites/mercy-1 cannot be applied: No site profile at")


def test_the_list_shows_the_profile_of_the_release_that_is_fallen_back_to(house, capsys):
    run(house, "promote", "mercy-3")
    other_weights(house / "models" / "chest-xray-1.1.0")
    (_, profiles), beneath = listed(house, capsys)
    assert profiles["mercy-1"].endswith("loaded, previous")
    assert beneath == "The service loads chest-xray-1.0.0 with sites/mercy-1, because chest-xray-1.1.0 cannot be loaded."


def test_the_list_without_profiles_has_no_table_of_them(house, capsys):
    shutil.rmtree(house / "sites")
    (house / "models" / STATE_NAME).unlink()
    tables, _ = listed(house, capsys)
    assert len(tables) == 1
