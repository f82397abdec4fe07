"""Fixtures that the tests of training share."""

import pytest


@pytest.fixture(scope="session")
def data(phantom_dataset):
    """Eight training and four validation phantoms of each finding, of two sources."""
    return phantom_dataset(films_per_class={"train": 8, "val": 4}, manifest=True)
