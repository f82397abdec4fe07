from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def folder(phantom_dataset: Callable[..., Path]) -> Path:
    """A sound data folder with a manifest: three films per class in train, two in val and in test."""
    return phantom_dataset(films_per_class={"train": 3, "val": 2, "test": 2}, size_px=160, manifest=True)
