import json
import os
import shutil

import bentoml
import pytest

from service.model.errors import BundleNotFound
from service.model.manifest import MANIFEST_NAME
from service.model.releases import (
    STATE_NAME,
    Candidate,
    LogEntry,
    RegistryState,
    Served,
    ServingChoice,
    candidates,
    locate_bundle,
    locate_profile,
    read_state,
    releases,
)
from tests.support.manifests import choose, write_bundle


def test_the_newest_release_is_told_by_version_not_by_name(tmp_path):
    for version in ("1.9.0", "1.10.0", "0.99.99"):
        write_bundle(tmp_path / f"chest-xray-{version}")
    assert releases(tmp_path)[0].name == "chest-xray-1.10.0"


def test_folders_that_are_not_releases_are_passed_over(tmp_path):
    write_bundle(tmp_path / "chest-xray-1.0.0")
    write_bundle(tmp_path / "chest-xray-2.0.0rc")
    (tmp_path / "chest-xray-3.0.0").mkdir()
    assert releases(tmp_path)[0].name == "chest-xray-1.0.0"


def test_no_release_says_what_to_do(tmp_path):
    with pytest.raises(BundleNotFound, match="CXR_BUNDLE"):
        locate_bundle(None, tmp_path)


def test_a_path_is_taken_as_it_is(tmp_path):
    assert locate_bundle(str(tmp_path)) == tmp_path
    with pytest.raises(BundleNotFound, match="folder"):
        locate_bundle(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("setting", ["~no-such-user/bundle", "a" * 300, "/dev/null/bundle"])
def test_a_path_that_leads_nowhere_is_named(setting):
    with pytest.raises(BundleNotFound, match=f"{setting}[ ;]"):
        locate_bundle(setting)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_bundle_in_a_folder_that_may_not_be_entered_is_named(tmp_path):
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(BundleNotFound, match="cannot be read: Permission denied"):
            locate_bundle(str(tmp_path / "bundle"))
    finally:
        os.seteuid(0)


def test_a_tag_is_looked_up_in_the_model_store(tmp_path):
    source = write_bundle(tmp_path / "bundle")
    tag = "chest-xray-loading-test:1.2.3"
    with bentoml.models.create(tag) as model:
        shutil.copytree(source, model.path, dirs_exist_ok=True)
    try:
        located = locate_bundle(tag)
        assert (located / MANIFEST_NAME).read_bytes() == (source / MANIFEST_NAME).read_bytes()
    finally:
        bentoml.models.delete(tag)
    with pytest.raises(BundleNotFound, match="model store"):
        locate_bundle(tag)


@pytest.fixture
def models(tmp_path):
    for version in ("1.0.0", "1.1.0"):
        write_bundle(tmp_path / f"chest-xray-{version}")
    return tmp_path


def names(models):
    return [each.bundle.name for each in candidates(None, None, models)]


def test_the_registrys_choice_counts_before_the_newest(models):
    choose(models, "chest-xray-1.0.0")
    assert names(models) == ["chest-xray-1.0.0"]
    choose(models, "chest-xray-1.0.0", "chest-xray-1.1.0")
    assert names(models) == ["chest-xray-1.0.0", "chest-xray-1.1.0"]
    choose(models, None)
    assert names(models) == ["chest-xray-1.1.0", "chest-xray-1.0.0"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"serving": 1, "previous": []}',
        '{"serving": "x", "previous": []}',
        '{"serving": "../chest-xray-1.0.0", "previous": []}',
        '{"serving": "chest-xray-1.0.0", "previous": ["a/chest-xray-1.0.0"]}',
        '{"serving": {"bundle": "chest-xray-1.0.0", "site": "../st-mary-1"}, "previous": []}',
        '{"serving": {"bundle": "chest-xray-1.0.0", "site": "st-mary"}, "previous": []}',
        '{"serving": {"bundle": "chest-xray-1.0.0", "site": 1}, "previous": []}',
        '{"serving": {"site": "st-mary-1"}, "previous": []}',
    ],
)
def test_a_damaged_choice_is_named(models, text):
    (models / STATE_NAME).write_text(text, "utf-8")
    with pytest.raises(BundleNotFound, match=r"registry\.json"):
        candidates(None, None, models)


def test_a_state_is_read_as_it_was_written_and_a_damaged_log_keeps_no_model_from_being_served(models):
    entry = LogEntry("2026-01-01T00:00:00+00:00", "promoted", "chest-xray-1.0.0", "chest-xray-1.1.0", "why", "st-mary-1")
    previous = (Served("chest-xray-1.0.0", "st-mary-2"), Served("chest-xray-1.1.0"))
    state = RegistryState(ServingChoice(Served("chest-xray-1.0.0", "st-mary-1"), previous), (entry,))
    assert read_state(models) == RegistryState()
    (models / STATE_NAME).write_text(json.dumps(state.members()), "utf-8")
    assert read_state(models) == state
    (models / STATE_NAME).write_text(json.dumps({**state.members(), "log": [{"when": "today"}]}), "utf-8")
    with pytest.raises(BundleNotFound, match="log"):
        read_state(models)
    assert names(models)[0] == "chest-xray-1.0.0"


# As releases 1.4.0 to 1.6.0 wrote it.
BEFORE_PROFILES = {
    "serving": "chest-xray-1.0.0",
    "previous": ["chest-xray-1.1.0"],
    "log": [
        {
            "at": "2026-11-02T08:00:00+00:00",
            "event": "promoted",
            "release": "chest-xray-1.0.0",
            "before": "chest-xray-1.1.0",
            "note": None,
        }
    ],
}


def test_a_state_from_before_there_were_profiles_is_read_and_written_as_those_services_read_it(models):
    (models / STATE_NAME).write_text(json.dumps(BEFORE_PROFILES), "utf-8")
    state = read_state(models)
    entry = LogEntry("2026-11-02T08:00:00+00:00", "promoted", "chest-xray-1.0.0", "chest-xray-1.1.0")
    assert state == RegistryState(ServingChoice(Served("chest-xray-1.0.0"), (Served("chest-xray-1.1.0"),)), (entry,))
    assert locate_profile(None, None, models) is None
    written = json.loads(json.dumps(state.members()))
    assert {name: written[name] for name in ("serving", "previous")} == {
        name: BEFORE_PROFILES[name] for name in ("serving", "previous")
    }
    assert set(written["log"][0]) <= set(BEFORE_PROFILES["log"][0])


def test_a_release_that_was_served_with_several_profiles_is_tried_once(models):
    previous = (Served("chest-xray-1.0.0", "st-mary-1"), Served("chest-xray-1.1.0", "st-mary-2"), Served("chest-xray-1.0.0"))
    write_choice(models, ServingChoice(Served("chest-xray-1.0.0", "st-mary-3"), previous))
    assert names(models) == ["chest-xray-1.0.0", "chest-xray-1.1.0"]


def test_a_fallback_of_the_registry_has_the_profile_that_it_was_served_with_last(models):
    previous = (Served("chest-xray-1.1.0", "clinic-2"), Served("chest-xray-1.1.0", "clinic-1"), Served("chest-xray-0.9.0"))
    write_choice(models, ServingChoice(Served("chest-xray-1.0.0", "st-mary-3"), previous))
    sites = models.parent / "sites"
    assert candidates(None, None, models) == [
        Candidate(models / "chest-xray-1.0.0", sites / "st-mary-3"),
        Candidate(models / "chest-xray-1.1.0", sites / "clinic-2"),
        Candidate(models / "chest-xray-0.9.0", None),
    ]


def write_choice(models, choice):
    (models / STATE_NAME).write_text(json.dumps(RegistryState(choice).members()), "utf-8")


def test_the_chosen_profile_stands_beside_the_releases(models):
    write_choice(models, ServingChoice(Served("chest-xray-1.0.0", "st-mary-3")))
    assert locate_profile(None, None, models) == models.parent / "sites" / "st-mary-3"


def test_a_profile_that_is_set_counts_before_the_chosen_one_and_none_is_none(models, tmp_path):
    write_choice(models, ServingChoice(Served("chest-xray-1.0.0", "st-mary-3")))
    assert locate_profile(None, str(tmp_path / "st-mary-9"), models) == tmp_path / "st-mary-9"
    assert locate_profile(None, "none", models) is None


def test_a_bundle_that_is_set_puts_the_chosen_profile_aside(models):
    """It belongs to the chosen release, and would keep the service from starting with another one."""
    write_choice(models, ServingChoice(Served("chest-xray-1.0.0", "st-mary-3")))
    assert locate_profile("/elsewhere/chest-xray-1.1.0", None, models) is None
    assert locate_profile("/elsewhere/chest-xray-1.1.0", "/elsewhere/st-mary-1", models).name == "st-mary-1"


def test_a_damaged_choice_names_no_profile(models):
    (models / STATE_NAME).write_text("{", "utf-8")
    with pytest.raises(BundleNotFound, match=r"registry\.json"):
        locate_profile(None, None, models)
