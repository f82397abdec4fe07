import subprocess
import sys

from tests.serving import ROOT

HEAVY = ("torch", "timm", "torchvision", "training", "export", "scipy", "sklearn", "matplotlib", "onnxruntime")


def test_importing_the_service_imports_no_training_library():
    program = f"import sys, service.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_service_reads_no_settings():
    program = "import os; os.environ['CXR_UNKNOWN'] = '1'; import service.app"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
