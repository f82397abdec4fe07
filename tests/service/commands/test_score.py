import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from pydicom import uid

from service.commands.cxr import main
from service.film.limits import DecodeLimits
from service.model import load_model
from service.model.bundle import ModelBundle, sha256_of
from service.model.site_profile import PROFILE_NAME
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import dicom_file, encode, film, png_claiming, tiff_file
from tests.support.manifests import copy_bundle
from tests.support.server.serving import ROOT
from tests.support.site_profiles import make_profile, site_head
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

FILM = film(200)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Films of all formats in several folders, some that are refused, and files that are none."""
    folder = tmp_path_factory.mktemp("archive")
    files = {
        "a/film.jpg": encode(FILM, "JPEG"),
        "a/film.png": encode(FILM, "PNG"),
        "a/b/deep.tif": tiff_file(FILM.astype(np.uint16) * 200),
        "a/b/IM0001": dicom_file(FILM),
        "c/j2k.dcm": compressed_dicom(FILM, uid.JPEG2000Lossless, WindowCenter=128, WindowWidth=0),
        "c/truncated.png": encode(FILM, "PNG")[:900],
        "c/huge.png": png_claiming(50_000, 50_000),
        "=cmd.png": encode(FILM, "PNG"),
        "notes.txt": b"no film",
        "odd/empty.DCM": b"",
        "odd/empty.jpeg": b"",
        "odd/text.Png": b"no film",
        "odd/no_film": b"no film",
        ".hidden.png": encode(FILM, "PNG"),
        **{f"many/{number:03d}.png": encode(film(200, number), "PNG") for number in range(40)},
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "a" / "folder.png").symlink_to(folder, target_is_directory=True)
    for name, target in {
        "gone.tif": "nowhere.tif",
        "self.webp": "self.webp",
        "self": "self",
        "linked.bmp": "../a/film.png",
    }.items():
        (folder / "odd" / name).symlink_to(target)
    os.mkfifo(folder / "odd" / "pipe.png")
    os.mkfifo(folder / "odd" / "pipe")
    return folder


def command(archive, out, bundle, *options):
    words = [sys.executable, "-m", "service.commands.cxr", "score", archive, "--out", out, "--bundle", bundle, *options]
    return [str(word) for word in words]


def score(archive, out, bundle, *options, **environment):
    return subprocess.run(
        command(archive, out, bundle, *options),
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def rows_of(path):
    with path.open(newline="") as stream:
        return {row["path"]: row for row in csv.DictReader(stream)}


def without_times(path):
    return [{**row, "inference_time_ms": ""} for row in rows_of(path).values()]


@pytest.fixture(scope="module")
def whole(archive, bundle_path, tmp_path_factory):
    """The table of an uninterrupted run of one process."""
    out = tmp_path_factory.mktemp("out") / "whole.csv"
    done = score(archive, out, bundle_path, "--processes", "1")
    assert done.returncode == 0, done.stderr
    return out, done.stderr


def test_every_film_has_a_row_as_the_service_would_judge_it(whole, archive, bundle_path):
    rows = rows_of(whole[0])
    model = load_model(bundle_path)
    assert len(rows) == 55
    for name in ("a/film.jpg", "a/b/deep.tif", "a/b/IM0001", "c/j2k.dcm", "many/007.png"):
        expected = model.predict(archive / name)
        row = rows[name]
        assert row["prediction"] == expected.finding
        assert float(row["probability_tuberculosis"]) == pytest.approx(expected.probabilities["Tuberculosis"], abs=1e-5)
        assert row["image_sha256"] == expected.image_sha256
        assert row["review_reasons"] == ";".join(expected.review_reasons)
        assert (row["model_version"], row["site"]) == ("1.0.0", "")
    assert "image_quality" in rows["c/j2k.dcm"]["review_reasons"]  # its window has no width


def test_refused_films_have_their_reason_and_other_files_no_row(whole):
    rows = rows_of(whole[0])
    assert rows["c/truncated.png"]["error"] == "unreadable-image"
    assert rows["c/huge.png"]["error"] == "image-too-large"
    assert rows["c/huge.png"]["prediction"] == ""
    assert not {"notes.txt", ".hidden.png", "a/loop/a/film.jpg", "a/folder.png", "odd/pipe", "odd/self"} & set(rows)
    assert "image-too-large 1, unreadable-image 4, unsupported-format 3" in whole[1]
    assert "no picture: 2" in whole[1]


@pytest.mark.parametrize(
    ("path", "error", "reason"),
    [
        ("odd/empty.DCM", "unsupported-format", "empty"),
        ("odd/empty.jpeg", "unsupported-format", "empty"),
        ("odd/text.Png", "unsupported-format", "no picture"),
        ("odd/gone.tif", "unreadable-image", "No such file"),
        ("odd/self.webp", "unreadable-image", "symbolic links"),
        ("odd/pipe.png", "unreadable-image", "no regular file"),
        ("odd/linked.bmp", "", ""),
    ],
)
def test_what_has_a_picture_s_name_has_a_row_whatever_it_is(whole, path, error, reason):
    row = rows_of(whole[0])[path]
    assert row["error"] == error
    assert reason in row["error_detail"]
    assert (row["prediction"] == "") == (error != "")


def test_a_path_that_a_spreadsheet_would_compute_is_spelled_harmlessly(whole):
    assert "./=cmd.png" in rows_of(whole[0])


def test_rows_are_in_the_order_of_their_paths_whatever_the_number_of_processes(whole, archive, bundle_path, tmp_path):
    out = tmp_path / "two.csv"
    assert score(archive, out, bundle_path, "--processes", "2").returncode == 0
    assert without_times(out) == without_times(whole[0])


def test_a_killed_run_leaves_no_process_behind_and_goes_on_to_the_same_table(whole, archive, bundle_path, tmp_path):
    out, partial = tmp_path / "killed.csv", tmp_path / "killed.csv.partial"
    running = subprocess.Popen(command(archive, out, bundle_path, "--processes", "2"), cwd=ROOT, stderr=subprocess.DEVNULL)
    assert eventually(lambda: partial.exists() and partial.read_bytes().count(b"\n") >= 5)
    family = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.wait()
    assert len(family) >= 2
    assert psutil.wait_procs(family, timeout=30)[1] == []
    kept = partial.read_bytes()
    partial.write_bytes(kept[: kept.rindex(b"\n") - 7])  # as if killed in the middle of a line
    assert score(archive, out, bundle_path).returncode == 0
    assert without_times(out) == without_times(whole[0])
    assert not partial.exists()


@pytest.mark.parametrize("when", ["workers start", "films are judged"])
def test_ctrl_c_ends_a_run_with_one_line_however_often_it_is_pressed(archive, bundle_path, tmp_path, when):
    partial = tmp_path / "films.csv.partial"
    # Ctrl-C is ignored where the tests run in the background.
    heard = "import signal, sys, os; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    running = subprocess.Popen(
        [sys.executable, "-c", heard, *command(archive, tmp_path / "films.csv", bundle_path, "--processes", "2")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    parent = psutil.Process(running.pid)
    started = {
        "workers start": lambda: len(parent.children()) > 1,  # the first one looks after semaphores
        "films are judged": lambda: partial.exists() and partial.stat().st_size > 0,
    }
    assert eventually(started[when])
    family = parent.children(recursive=True)
    for _ in range(4):
        os.killpg(running.pid, signal.SIGINT)
    _, complaints = running.communicate(timeout=60)
    told = [line for line in complaints.decode().splitlines() if " films, " not in line]
    assert (running.returncode, told) == (130, ["", "Interrupted; the same command goes on from here."])
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_a_machine_that_cannot_decode_ends_the_run_and_refuses_no_film(archive, bundle_path, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        'import sys\nif "service.sandbox" in sys.orig_argv:\n    sys.exit("broken on purpose")\n'
    )
    films, out = tmp_path / "films", tmp_path / "x.csv"
    films.mkdir()
    shutil.copy(archive / "c" / "j2k.dcm", films)
    broken = score(films, out, bundle_path, "--processes", "1", PYTHONPATH=str(tmp_path))
    assert broken.returncode == 1
    assert "broken on purpose" in broken.stderr
    assert broken.stderr.splitlines()[-1].startswith("The program that decodes large and compressed films cannot be started")
    assert score(films, out, bundle_path, "--processes", "1").returncode == 0
    assert rows_of(out)["j2k.dcm"]["error"] == ""


def test_a_film_that_is_named_itself_has_a_row_whatever_its_name(archive, bundle_path, tmp_path):
    for path, prediction in {"a/b/IM0001": True, "odd/no_film": False}.items():
        out = tmp_path / f"{prediction}.csv"
        assert score(archive / path, out, bundle_path, "--processes", "1").returncode == 0
        [(name, row)] = rows_of(out).items()
        assert (name, row["prediction"] != "") == (path.rpartition("/")[2], prediction)


def test_films_that_came_or_went_between_two_runs_are_neither_missed_nor_counted_twice(archive, bundle_path, tmp_path):
    folder, out = tmp_path / "films", tmp_path / "x.csv"
    shutil.copytree(archive / "many", folder)
    assert score(folder, out, bundle_path).returncode == 0
    partial, table = tmp_path / "x.csv.partial", out.read_text().splitlines(keepends=True)
    partial.write_text("".join(table[1:21]))
    settings = {
        "folder": str(folder),
        "model": sha256_of(bundle_path / "manifest.json"),
        "site": "",
        "operating_point": "balanced",
        "max_pixels": str(DecodeLimits().max_pixels),
    }
    (tmp_path / "x.csv.partial.json").write_text(json.dumps(settings))
    (folder / "019.png").unlink()
    shutil.copy(folder / "000.png", folder / "0000.png")
    assert score(folder, out, bundle_path, "--overwrite").returncode == 0
    names = list(rows_of(out))
    assert names == sorted([*(f"{number:03d}.png" for number in range(40)), "0000.png"])


def test_rows_name_the_site_profile_that_judged_and_a_table_is_not_continued_with_another_one(archive, bundle, tmp_path):
    profile = make_profile(bundle, tmp_path, version=2, head=site_head(1280))
    folder, out = tmp_path / "films", tmp_path / "x.csv"
    folder.mkdir()
    for name in ("a/film.png", "c/truncated.png"):
        shutil.copy(archive / name, folder)
    done = score(folder, out, bundle.path, "--site", profile.path, "--processes", "1")
    assert done.returncode == 0, done.stderr
    rows = rows_of(out)
    assert {row["site"] for row in rows.values()} == {"mercy-2"}
    expected = load_model(bundle.path, profile.path).predict(folder / "film.png").probabilities["Tuberculosis"]
    assert float(rows["film.png"]["probability_tuberculosis"]) == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(
        load_model(bundle.path).predict(folder / "film.png").probabilities["Tuberculosis"], abs=1e-3
    )
    (tmp_path / "x.csv.partial").write_text("")
    settings = {
        "folder": str(folder),
        "model": sha256_of(bundle.path / "manifest.json"),
        "site": sha256_of(profile.file(PROFILE_NAME)),
        "operating_point": "balanced",
        "max_pixels": str(DecodeLimits().max_pixels),
    }
    (tmp_path / "x.csv.partial.json").write_text(json.dumps(settings))
    other = score(folder, out, bundle.path, "--overwrite")
    assert (other.returncode, "was begun with another site;" in other.stderr) == (1, True)


def test_what_cannot_run_is_refused_before_a_film_is_judged(archive, bundle_path, tmp_path, capsys):
    spoilt = copy_bundle(bundle_path, tmp_path, "1.0.0", golden=b"no arrays")
    other = ModelBundle.open(copy_bundle(bundle_path, tmp_path, "1.0.1"))
    of_another = make_profile(other, tmp_path).path
    (tmp_path / "mine.csv").write_text("mine")
    for films, out, options, complaint in (
        (archive, "x.csv", ["--operating-point", "x"], "operating point"),
        (archive, "x.csv", ["--bundle", "nowhere"], "No bundle"),
        (archive, "x.csv", ["--bundle", str(spoilt)], "golden.npz"),
        (archive, "x.csv", ["--site", "nowhere"], "No site profile"),
        (archive, "x.csv", ["--site", str(of_another)], "belongs to"),
        (archive, "x.parquet", [], "must end in .csv"),
        (archive, "mine.csv", [], "--overwrite"),
        (tmp_path / "nowhere", "x.csv", [], "neither a folder nor a film"),
    ):
        words = ["score", str(films), "--out", str(tmp_path / out), "--bundle", str(bundle_path), *options]
        assert main(words) == 1
        assert complaint in capsys.readouterr().err
    assert (tmp_path / "mine.csv").read_text() == "mine"
