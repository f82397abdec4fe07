import os
import subprocess
import sys

import pytest

from tests.support.encoded_films import dicom_file, film
from tests.support.server.serving import ROOT, failed_start

HEAVY = ("torch", "timm", "torchvision", "training", "export", "scipy", "sklearn", "matplotlib", "onnxruntime")


def test_importing_the_service_imports_no_training_library():
    program = f"import sys, service.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_service_reads_no_settings():
    program = "import os; os.environ['CXR_UNKNOWN'] = '1'; import service.app"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"CXR_THREAD": "3"}, "Unknown setting CXR_THREAD; did you mean CXR_THREADS?"),
        ({"CXR_ENVIRONMENT": "production"}, "Wrong setting: CXR_ENVIRONMENT=production needs CXR_AUTH="),
        ({"CXR_SITE": "sites/nowhere-1"}, "No site profile at sites/nowhere-1: it must be a folder with a profile.json"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_its_name(setting, complaint):
    status, output = failed_start(os.environ | setting)
    assert status == 1
    assert complaint in output
    assert "Traceback" not in output


DECODE_AS_THE_SERVICE_DOES = """
import logging, sys
logging.basicConfig(level=logging.WARNING)

from service.app import ChestXray
from service.film.film import Radiograph

ChestXray()
Radiograph.from_bytes(sys.stdin.buffer.read(), decode_side_px=256)
"""


def test_text_of_a_film_does_not_reach_the_log(tmp_path):
    character_set = b"ISO\nWARNING:forged "
    element = b"\x08\x00\x05\x00CS" + len(character_set).to_bytes(2, "little") + character_set
    head, class_uid, rest = dicom_file(film()).partition(b"\x08\x00\x16\x00UI")
    done = subprocess.run(
        [sys.executable, "-c", DECODE_AS_THE_SERVICE_DOES],
        cwd=ROOT,
        env=os.environ | {"CXR_BUNDLE": str(tmp_path / "absent"), "CXR_DATABASE_URL": f"sqlite:///{tmp_path}/records.db"},
        input=head + element + class_uid + rest,
        capture_output=True,
        check=True,
    )
    assert b"No bundle can be chosen" in done.stderr
    assert b"forged" not in done.stderr
