import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from time import monotonic

import numpy as np
import psutil
import pytest
from pydicom import uid

from service.errors import DecoderFailed, OutOfTime
from service.film.errors import AspectRatioTooExtreme, ImageTooLarge, InputError, UnreadableImage, UnsupportedFormat
from service.film.film import Radiograph
from service.film.limits import DecodeLimits
from service.sandbox import decoder as decoder_module
from service.sandbox import messages
from service.sandbox.decoder import SandboxedDecoder
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import dicom_file, encode, film, png_16_bit, png_claiming, tiff_file
from tests.support.server.serving import ROOT

pytestmark = pytest.mark.slow

FILM = film(300)
DEEP = FILM.astype(np.uint16) * 200
FILES = {
    "jpeg": encode(FILM, "JPEG"),
    "png": encode(np.dstack([FILM, FILM // 2, FILM]), "PNG"),
    "png16": png_16_bit(DEEP),
    "tiff": tiff_file(DEEP),
    "bmp": encode(FILM, "BMP"),
    "webp": encode(FILM, "WEBP"),
    "dicom": dicom_file(FILM, ViewPosition="LL"),
    "jpeg2000": compressed_dicom(DEEP[:, :200], uid.JPEG2000Lossless, PatientOrientation=["H", "L"]),
    "dicom without a valid window": compressed_dicom(DEEP, uid.RLELossless, WindowCenter=9, WindowWidth=0),
}


@pytest.fixture(scope="module")
def sandbox():
    sandbox = SandboxedDecoder(DecodeLimits(max_pixels=4_000_000))
    yield sandbox
    sandbox.close()


@pytest.fixture
def started():
    """A sandbox whose one process has decoded a film."""
    sandbox = SandboxedDecoder(DecodeLimits())
    decode(sandbox)
    yield sandbox
    sandbox.close()


def soon(seconds=60.0):
    return monotonic() + seconds


def decode(sandbox, seconds=60.0):
    assert sandbox.decode(FILES["jpeg"], 256, soon(seconds)).width_px == 300


def only_process(sandbox):
    [(_, process)] = sandbox._idle
    return process


@pytest.mark.parametrize("name", FILES)
def test_a_film_is_the_same_inside_and_outside(sandbox, name):
    inside, outside = sandbox.decode(FILES[name], 256, soon()), Radiograph.from_bytes(FILES[name], decode_side_px=256)
    assert bool(outside.display_fault) == (name == "dicom without a valid window")
    for field in fields(Radiograph):
        assert np.array_equal(getattr(inside, field.name), getattr(outside, field.name)), field.name


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"no film", UnsupportedFormat),
        (FILES["png"][:500], UnreadableImage),
        (png_claiming(4000, 4000), ImageTooLarge),
        (encode(FILM[:60].repeat(2, axis=0)[:100], "PNG"), InputError),
        (encode(np.zeros((100, 400), np.uint8), "PNG"), AspectRatioTooExtreme),
    ],
)
def test_refusals_come_out_as_they_are_outside(sandbox, data, refusal):
    try:
        Radiograph.from_bytes(data, limits=DecodeLimits(max_pixels=4_000_000))
    except InputError as outside:
        with pytest.raises(refusal) as inside:
            sandbox.decode(data, None, soon())
        assert (type(inside.value), str(inside.value)) == (type(outside), str(outside))


def test_one_process_serves_film_after_film_and_as_many_as_there_are_threads(sandbox):
    decode(sandbox)
    first = only_process(sandbox)
    for _ in range(5):
        decode(sandbox)
    assert only_process(sandbox) is first


def test_a_film_that_takes_too_long_frees_its_thread_and_ends_its_process(started):
    process = only_process(started)
    os.kill(process._popen.pid, signal.SIGSTOP)  # as a codec that never comes back
    with pytest.raises(OutOfTime):
        decode(started, 0.2)
    assert process._popen.poll() is not None
    decode(started)


@pytest.fixture
def kill(monkeypatch):
    """Kills so many processes as soon as they have a film; returns those killed."""

    def kill(times):
        killed, decode = [], decoder_module._Process.decode

        def decode_and_die(process, *arguments):
            if len(killed) < times:
                killed.append(process)
                process._popen.kill()
            return decode(process, *arguments)

        monkeypatch.setattr(decoder_module._Process, "decode", decode_and_die)
        return killed

    return kill


def test_a_film_whose_process_was_killed_by_somebody_else_is_read_by_another(kill):
    sandbox = SandboxedDecoder(DecodeLimits())
    for _ in range(2):  # the first film's process is begun for it, the second one's was waiting
        killed = kill(1)
        decode(sandbox)
        assert [process.status for process in killed] == [-signal.SIGKILL]
    sandbox.close()


def test_a_film_that_kills_two_processes_is_unreadable_and_the_next_one_is_read(kill):
    sandbox = SandboxedDecoder(DecodeLimits())
    killed = kill(2)
    with pytest.raises(UnreadableImage, match="breaks"):
        decode(sandbox)
    assert len(killed) == 2
    decode(sandbox)
    sandbox.close()


def test_a_film_that_takes_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr(decoder_module, "_ROOM_BYTES", 0)
    monkeypatch.setattr(decoder_module, "_BYTES_PER_PIXEL", 1)
    sandbox = SandboxedDecoder(DecodeLimits(max_pixels=20_000_000))
    with pytest.raises(UnreadableImage):
        sandbox.decode(encode(np.zeros((4400, 4400), np.uint8), "PNG"), None, soon())
    sandbox.close()


def test_processes_know_no_secrets_and_end_with_the_service(monkeypatch):
    monkeypatch.setenv("CXR_AUDIT_SECRET", "a secret of the operator")
    sandbox = SandboxedDecoder(DecodeLimits())
    decode(sandbox)
    child = psutil.Process(only_process(sandbox)._popen.pid)
    assert not any(name.startswith("CXR_") for name in child.environ())
    sandbox.close()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_waits_for_long_ends_and_the_next_film_starts_another(started, monkeypatch):
    process = only_process(started)
    assert started._sweeper.interval == decoder_module.IDLE_SECONDS
    started._sweep()
    assert process.is_alive()
    monkeypatch.setattr(decoder_module, "IDLE_SECONDS", 0.0)
    started._sweep()
    assert not process.is_alive()
    assert (started._idle, started._sweeper) == ([], None)
    decode(started)


@pytest.mark.parametrize(
    "answer", [b"no answer", b"{}", b'{"refusal": "SystemExit", "message": ""}', b'{"shape": [300], "facts": {}}']
)
def test_an_answer_that_cannot_be_read_ends_its_process_and_does_not_answer_for_the_next_film(started, monkeypatch, answer):
    process, parse_answer = only_process(started), messages.parse_answer
    with monkeypatch.context() as patched:
        patched.setattr(messages, "parse_answer", lambda _, read: parse_answer(json.loads(answer), read))
        with pytest.raises(UnreadableImage, match="breaks"):
            decode(started)
    assert not process.is_alive()
    assert started.decode(FILES["tiff"], 256, soon()).format == "tiff"


@pytest.mark.parametrize("before", ["", "os.write(1, bytes(5000));"], ids=["silent", "prints"])
def test_a_process_that_cannot_start_is_no_fault_of_the_film_and_its_complaint_is_logged(monkeypatch, caplog, tmp_path, before):
    (tmp_path / "cv2.py").write_text(f"import os; os.write(2, b'libGL.so.1 is missing'); {before} os._exit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    sandbox = SandboxedDecoder(DecodeLimits())
    with pytest.raises(DecoderFailed, match="see the service's log"):
        decode(sandbox)
    assert "libGL.so.1 is missing" in caplog.text
    assert sandbox._idle == []


def test_a_start_that_hangs_is_given_up_and_one_that_outlasts_the_film_is_out_of_time(monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text("import time; time.sleep(3600)")
    monkeypatch.syspath_prepend(tmp_path)
    sandbox = SandboxedDecoder(DecodeLimits())
    with pytest.raises(OutOfTime):
        decode(sandbox, 0.2)
    monkeypatch.setattr(decoder_module, "START_SECONDS", 0.2)
    with pytest.raises(DecoderFailed):
        decode(sandbox)


DECODE_ONE = """
import sys
from math import inf
from service.film.limits import DecodeLimits
from service.sandbox.decoder import SandboxedDecoder
sandbox = SandboxedDecoder(DecodeLimits())
print(sandbox.decode(sys.stdin.buffer.read(), 256, inf).width_px)
sandbox.close()
"""


def test_a_process_finds_the_packages_that_the_service_finds(tmp_path):
    """Also those of the user, of whose folder only Python's start knows."""
    site_packages = tmp_path / f".local/lib/python3.{sys.version_info.minor}/site-packages"
    site_packages.mkdir(parents=True)
    (site_packages / "ours.pth").write_text(str(Path(np.__file__).parent.parent))
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys._base_executable, "-c", DECODE_ONE]  # a Python without packages
    done = subprocess.run(command, cwd="/", env=environment, input=FILES["jpeg2000"], capture_output=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (b"300", b"")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_asks_the_service_to_end_breaks_no_film(started, ending):
    process = only_process(started)
    os.kill(process._popen.pid, ending)
    decode(started)
    assert only_process(started) is process


def test_films_are_decoded_in_a_crowd_of_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    crowd = [os.open(os.devnull, os.O_RDONLY) for _ in range(1200)]
    try:
        sandbox = SandboxedDecoder(DecodeLimits())
        decode(sandbox)
        sandbox.close()
    finally:
        for descriptor in crowd:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
