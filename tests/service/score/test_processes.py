import os
import signal

import numpy as np
import pytest
from pydicom import uid

from service.score import processes as module
from service.score.judge import Task, judge
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import ORIENTATIONS, dicom_file, encode, film, lying_as

MODEL = {"model_version": "1.0.0", "site": "mercy-2"}


@pytest.mark.slow
def test_a_film_that_ends_its_process_is_refused_and_the_others_are_judged(bundle_path, tmp_path, monkeypatch):
    paths = [f"{number:03d}.png" for number in range(28)]
    for path in paths:
        (tmp_path / path).write_bytes(encode(film(200), "PNG"))
    monkeypatch.setattr(module, "judge", end_on_007)
    with module.Processes(Task(tmp_path, bundle_path, "balanced", 64_000_000), 2, MODEL) as processes:
        rows = dict(zip(paths, processes.rows(paths), strict=True))
    refused = rows.pop("007.png")
    assert (refused["error"], refused["site"]) == ("unreadable-image", "mercy-2")
    assert [row["prediction"] != "" for row in rows.values()] == [True] * 27


@pytest.mark.slow
def test_a_film_that_lies_otherwise_has_the_row_of_the_upright_one(bundle_path, tmp_path):
    upright = film(200)[:, :150].astype(np.uint16) * 257
    for orientation in ORIENTATIONS:
        stored, attributes = lying_as(orientation, upright), {"PatientOrientation": list(orientation)}
        (tmp_path / f"{orientation}.dcm").write_bytes(dicom_file(stored, **attributes))
        (tmp_path / f"{orientation} compressed.dcm").write_bytes(compressed_dicom(stored, uid.JPEG2000Lossless, **attributes))
    (tmp_path / "lateral.dcm").write_bytes(dicom_file(upright, PatientOrientation=["A", "F"]))
    paths = [path.name for path in tmp_path.iterdir()]
    with module.Processes(Task(tmp_path, bundle_path, "balanced", 64_000_000), 1, MODEL) as processes:
        rows = dict(zip(paths, processes.rows(paths), strict=True))
    assert "not_frontal_chest" in rows.pop("lateral.dcm")["review_reasons"]
    own = ("path", "image_sha256", "inference_time_ms")
    judged = {tuple(value for name, value in row.items() if name not in own) for row in rows.values()}
    assert (len(rows), len(judged)) == (16, 1)
    assert (rows["FR.dcm"]["width_px"], rows["FR.dcm"]["height_px"]) == ("150", "200")


def end_on_007(path):
    if path == "007.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return judge(path)
