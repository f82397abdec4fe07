import re
import time

from service.prediction_id import new_prediction_id


def test_identifiers_are_ulids_that_sort_by_time_and_differ_within_a_moment():
    first = new_prediction_id()
    begun = time.monotonic()
    while time.monotonic() - begun < 0.003:  # into another millisecond
        pass
    later = [new_prediction_id() for _ in range(2000)]
    assert all(first < each for each in later)
    assert len(set(later)) == len(later)
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", each) for each in later)


def test_the_time_is_that_of_the_specification(monkeypatch):
    """github.com/ulid/spec: 01ARYZ6S41 is the millisecond 1469918176385."""
    monkeypatch.setattr(time, "time_ns", lambda: 1469918176385 * 1_000_000)
    assert new_prediction_id().startswith("01ARYZ6S41")
