"""The registry chooses what the service serves: a release with its site profile, unless settings name another."""

import csv
import shutil
from functools import partial
from itertools import cycle

import pytest

from export.registry import Registry
from service import hosting
from service.commands.cxr import main
from service.hosting import ModelHost
from service.model import load_model, model, releases
from service.model.bundle import ModelBundle
from service.model.manifest import HEAD_NAME
from service.model.releases import STATE_NAME, selection
from service.score import run
from service.settings import Settings
from tests.support.manifests import copy_bundle
from tests.support.site_profiles import make_profile, site_head


@pytest.fixture(scope="module")
def made(tmp_path_factory, bundle_path):
    """Releases 1.0.0 and 1.1.0, and a profile of each; 1.0.0, then 1.1.0 were chosen with theirs."""
    folder = tmp_path_factory.mktemp("house")
    for number, version in ((1, "1.0.0"), (2, "1.1.0")):
        bundle = ModelBundle.open(copy_bundle(bundle_path, folder / "models", version))
        make_profile(bundle, folder / "sites", version=number, head=site_head(bundle.manifest.head.features))
        Registry(folder / "models").promote(f"mercy-{number}")
    return folder


@pytest.fixture
def house(made, tmp_path, monkeypatch):
    """The service's own folder, to change."""
    house = shutil.copytree(made, tmp_path / "house")
    of_house = partial(releases.candidates, models_dir=house / "models")
    for module in (hosting, model, releases, run):
        monkeypatch.setattr(module, "candidates", of_house)
    return house


def served(host):
    health = host.health()
    return health["model_version"], health["site"] and health["site"]["version"]


def test_the_chosen_profile_is_served_with_its_release_and_goes_back_with_it(house):
    host = ModelHost(Settings())
    assert served(host) == ("1.1.0", 2)
    Registry(house / "models").rollback()
    assert host.reload().outcome == "swapped"
    assert served(host) == ("1.0.0", 1)


def test_settings_count_before_the_choice(house):
    assert served(ModelHost(Settings(site="none"))) == ("1.1.0", None)
    assert served(ModelHost(Settings(bundle=str(house / "models" / "chest-xray-1.0.0")))) == ("1.0.0", None)
    set_by_hand = ModelHost(Settings(site=str(house / "sites" / "mercy-1")))
    assert set_by_hand.health()["reason"] == "profile-mismatch"


def test_a_promotion_while_the_choice_is_read_pairs_no_bundle_with_the_profile_of_another(house, monkeypatch, tmp_path):
    state = house / "models" / STATE_NAME
    later = state.read_text("utf-8")
    Registry(house / "models").rollback()
    texts = cycle([state.read_text("utf-8"), later])

    def read_choice(models_dir):
        choice = releases.read_choice(models_dir)
        state.write_text(next(texts), "utf-8")
        return choice

    monkeypatch.setattr(selection, "read_choice", read_choice)
    monkeypatch.setenv("CXR_DATABASE_URL", f"sqlite:///{tmp_path}/records.db")
    pairs = [("1.0.0", 1), ("1.1.0", 2)]
    host = ModelHost(Settings())
    assert served(host) in pairs
    assert host.reload().outcome != "fallback"
    assert served(host) in pairs
    loaded = load_model()
    assert (loaded.manifest.version, loaded.site.version) in pairs
    assert main(["check"]) == 0
    assert main(["registry", "--models", str(house / "models"), "list"]) == 0
    table = tmp_path / "scores.csv"
    assert main(["score", "tests/films/phantom.png", "--out", str(table)]) == 0
    [row] = csv.DictReader(table.open(encoding="utf-8", newline=""))
    assert (row["model_version"], row["site"]) in {("1.0.0", "mercy-1"), ("1.1.0", "mercy-2")}


def test_the_release_that_is_fallen_back_to_has_its_own_profile(house):
    older = ModelBundle.open(house / "models" / "chest-xray-1.0.0")
    make_profile(older, house / "sites", version=3)  # newer, and never chosen
    (house / "models" / "chest-xray-1.1.0" / HEAD_NAME).write_bytes(b"other weights")
    assert served(ModelHost(Settings())) == ("1.0.0", 1)


def test_a_release_that_is_fallen_back_to_without_its_own_profile_serves_alone_and_that_is_an_error(house, caplog):
    make_profile(ModelBundle.open(house / "models" / "chest-xray-1.0.0"), house / "sites", version=3)
    shutil.rmtree(house / "sites" / "mercy-1")
    (house / "models" / "chest-xray-1.1.0" / HEAD_NAME).write_bytes(b"other weights")
    assert served(ModelHost(Settings())) == ("1.0.0", None)
    assert "serves without a site profile: " in caplog.text


def test_a_chosen_profile_that_cannot_be_applied_is_not_left_out(house):
    host = ModelHost(Settings())
    shutil.rmtree(house / "sites" / "mercy-2")
    assert host.reload().outcome == "fallback"
    assert served(host) == ("1.1.0", 2), "what is served stays"
    assert ModelHost(Settings()).health()["status"] == "unavailable"


def test_check_and_load_model_take_the_chosen_profile_too(house, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CXR_DATABASE_URL", f"sqlite:///{tmp_path}/records.db")
    assert main(["check"]) == 0
    assert f"site: {house / 'sites' / 'mercy-2'}, mercy 2;" in capsys.readouterr().out
    assert load_model().site.version == 2
    assert load_model(site="none").site is None
    shutil.rmtree(house / "sites" / "mercy-2")
    assert main(["check"]) == 1
    assert "No site profile at" in capsys.readouterr().err
