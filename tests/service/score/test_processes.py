import os
import signal

import pytest

from service.score import processes as module
from service.score.judge import Task, judge
from tests.support.encoded_films import encode, film


@pytest.mark.slow
def test_a_film_that_ends_its_process_is_refused_and_the_others_are_judged(bundle_path, tmp_path, monkeypatch):
    paths = [f"{number:03d}.png" for number in range(28)]
    for path in paths:
        (tmp_path / path).write_bytes(encode(film(200), "PNG"))
    monkeypatch.setattr(module, "judge", end_on_007)
    with module.Processes(Task(tmp_path, bundle_path, "balanced", 64_000_000), 2, "1.0.0") as processes:
        rows = dict(zip(paths, processes.rows(paths), strict=True))
    assert rows.pop("007.png")["error"] == "unreadable-image"
    assert [row["prediction"] != "" for row in rows.values()] == [True] * 27


def end_on_007(path):
    if path == "007.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return judge(path)
