"""Installs requirements into the environment that runs it: `python -m service.commands.install FILE…`, called by the Makefile.

Runs before anything is installed, so it uses the standard library only, and is no command of `cxr`.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]

_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
_UV = [sys.executable, "-m", "uv", "pip"]

# Option of pip -> the variable by which uv takes the same, and what separates several values. uv reads no pip.conf.
_UV_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}

# uv knows PyTorch's own index. Asking there must not delay an installation that cannot reach it.
_PROBE_SECONDS = 3

_DRIVER_FILES = ("/proc/driver/nvidia/version", "/sys/module/nvidia/version")


def main(files: Sequence[str]) -> int:
    """Install with uv, or with pip where uv cannot be had or fails; then the project itself, for the command `cxr`."""
    requirements = [word for name in files for word in ("--requirement", name)]
    wanted = os.environ.get("TORCH_BACKEND", "")
    if not (_fetch_uv() and _install_with_uv(requirements, wanted)):
        if wanted:
            print(
                f"TORCH_BACKEND={wanted} needs uv and PyTorch's own index; leave it out to take what PyPI has.", file=sys.stderr
            )
            return 1
        print("uv cannot install here; pip does it, with PyTorch as PyPI has it.")
        if not _succeeds([*_PIP, "install", *requirements]):
            return 1
    project = ["--no-deps", "--no-build-isolation", "--editable", str(_ROOT)]
    return 0 if _succeeds([*_PIP, "install", "--quiet", *project]) else 1


def _fetch_uv() -> bool:
    [version] = re.findall(r"^uv==.+$", (_ROOT / "tests" / "requirements.txt").read_text("utf-8"), flags=re.MULTILINE)
    return _succeeds([*_PIP, "install", "--quiet", version], stderr=subprocess.DEVNULL)


def _install_with_uv(requirements: Sequence[str], wanted: str) -> bool:
    environment = _uv_environment()
    backend = wanted or ("cpu" if _is_cpu_build_better() and _reaches_cpu_build(environment) else "")
    print(f"Installing with uv; PyTorch: {f'its {backend} build' if backend else 'as PyPI has it (on Linux 6 GB, with CUDA)'}.")
    options = ["--torch-backend", backend] if backend else []
    return _succeeds([*_UV, "install", "--python", sys.executable, *options, *requirements], env=environment)


def _uv_environment() -> dict[str, str]:
    """This process's environment, and what pip is configured with, in uv's words."""
    listed = subprocess.run([*_PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(global|install|:env:)\.([a-z-]+)=(.*)$", listed, flags=re.MULTILINE)
    configured = {name: ast.literal_eval(value) for _, name, value in sorted(found, key=_precedence)}
    translated = {
        variable: separator.join(configured[name].split())
        for name, (variable, separator) in _UV_VARIABLES.items()
        if name in configured
    }
    # As pip: the best version of all indexes, not of the first that has the package.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match"} | translated | os.environ


def _precedence(setting: tuple[str, str, str]) -> int:
    return ("global", "install", ":env:").index(setting[0])


def _is_cpu_build_better() -> bool:
    """On Linux, PyPI's PyTorch brings gigabytes of CUDA along, which is of no use without NVIDIA's driver."""
    has_driver = shutil.which("nvidia-smi") or any(Path(name).exists() for name in _DRIVER_FILES)
    return sys.platform == "linux" and not has_driver


def _reaches_cpu_build(environment: dict[str, str]) -> bool:
    [version] = re.findall(r"^torch==.+$", (_ROOT / "requirements-serve.txt").read_text("utf-8"), flags=re.MULTILINE)
    question = [*_UV, "install", "--python", sys.executable, "--dry-run", "--no-deps", "--torch-backend", "cpu", version]
    try:
        return _succeeds(question, env=environment, stderr=subprocess.DEVNULL, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False


def _succeeds(command: Sequence[str], **options: object) -> bool:
    return subprocess.run(command, check=False, **options).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
