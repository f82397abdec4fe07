"""A slice of `python -m tests.tools.fuzz`, whose whole takes some minutes."""

import pytest

from tests.tools.fuzz.__main__ import decode_all

pytestmark = pytest.mark.slow


def test_spoilt_films_and_bombs_are_refused_or_read_and_nothing_else_happens():
    outcomes, _, faults = decode_all(count=1500, seed=2)
    assert faults == []
    assert outcomes["UnreadableImage"] > 500
    assert outcomes["read"] > 100
