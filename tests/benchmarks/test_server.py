"""Starts of the benchmark's servers."""

import pytest

from benchmarks.server import ServerFailed, _running, free_port


def test_a_server_that_ends_before_it_is_ready_is_reported_with_its_last_output():
    with (
        pytest.raises(ServerFailed, match=r"(?s)ended before it was ready; its last output was:.*no such model"),
        _running(["-c", "raise SystemExit('no such model')"], free_port(), {}),
    ):
        pass
