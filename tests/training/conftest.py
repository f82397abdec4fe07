"""Fixtures that the tests of training share."""

import pytest

from service.model.bundle import ModelBundle
from service.model.releases import locate_bundle
from tests.support.training.site_folders import CommissionedSite


@pytest.fixture(scope="session")
def data(phantom_dataset):
    """Eight training and four validation phantoms of each finding, of two sources."""
    return phantom_dataset(films_per_class={"train": 8, "val": 4}, manifest=True)


@pytest.fixture(scope="session")
def released():
    """The bundle that is served."""
    return ModelBundle.open(locate_bundle(None))


@pytest.fixture
def site(tmp_path, released):
    return CommissionedSite(tmp_path, released)
