"""A registry of releases and site profiles."""

import shutil
from pathlib import Path

import pytest

from service.model.bundle import ModelBundle
from tests.export.test_registry import add_release, linked_graph
from tests.support.registry_house import FIGURES, run
from tests.support.site_profiles import make_profile


@pytest.fixture
def no_settings(monkeypatch):
    for name in ("CXR_BUNDLE", "CXR_SITE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory, bundle_path):
    """Releases 1.0.0, 1.1.0 and 2.0.0, and profiles: mercy-1 of 1.0.0, which is chosen, mercy-2 and mercy-3 of 1.1.0."""
    folder = tmp_path_factory.mktemp("house")
    bundles = {
        version: ModelBundle.open(add_release(bundle_path, folder / "models", version))
        for version in ("1.0.0", "1.1.0", "2.0.0")
    }
    for number, version in ((1, "1.0.0"), (2, "1.1.0"), (3, "1.1.0")):
        make_profile(bundles[version], folder / "sites", version=number, figures=FIGURES)
    assert run(folder, "promote", "mercy-1") == 0
    return folder


@pytest.fixture
def house(made, tmp_path, no_settings):
    """A folder with models/ and sites/, to change."""
    return Path(shutil.copytree(made, tmp_path / "house", copy_function=linked_graph))
