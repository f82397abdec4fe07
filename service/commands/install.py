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

# Option of pip -> uv's variable for it, and the separator of several values there. uv itself does not read pip.conf.
_UV_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}

# Longest wait for an answer of PyTorch's own index; without one, PyPI's build is installed.
_PROBE_SECONDS = 3

_DRIVER_FILES = ("/proc/driver/nvidia/version", "/sys/module/nvidia/version")


def main(files: Sequence[str]) -> int:
    """Install with uv, or with pip if uv cannot be fetched or fails; then the project itself, for the command `cxr`."""
    requirements = [word for name in files for word in ("--requirement", name)]
    backend = os.environ.get("TORCH_BACKEND", "")
    if not (_fetch_uv() and _install_with_uv(requirements, backend)):
        if backend:
            print(f"TORCH_BACKEND={backend} needs uv and PyTorch's own index; unset it for PyPI's build.", file=sys.stderr)
            return 1
        print("uv cannot install here; pip does, with PyPI's build of PyTorch.", flush=True)
        if not _succeeds([*_PIP, "install", *requirements]):
            return 1
    project = ["--no-deps", "--no-build-isolation", "--editable", str(_ROOT)]
    return 0 if _succeeds([*_PIP, "install", "--quiet", *project]) else 1


def _fetch_uv() -> bool:
    return _succeeds([*_PIP, "install", "--quiet", _pin("uv", "tests/requirements.txt")], quiet=True)


def _install_with_uv(requirements: Sequence[str], backend: str) -> bool:
    environment = _uv_environment()
    options = [word for name in ("torch", "torchvision") for word in ("--reinstall-package", name)] if backend else []
    if not backend and _is_cpu_build_better() and _reaches_cpu_build(environment):
        backend = "cpu"
    build = f"its build {backend}" if backend else "PyPI's build (6 GB with CUDA, on Linux)"
    print(f"Installing with uv; of PyTorch {build}.", flush=True)
    if backend:
        options += ["--torch-backend", backend]
    return _succeeds([*_UV, "install", "--python", sys.executable, *options, *requirements], environment)


def _uv_environment() -> dict[str, str]:
    """This process's environment, with pip's configuration translated into uv's variables."""
    listed = subprocess.run([*_PIP, "config", "list"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = re.findall(r"^(global|install|:env:)\.([a-z-]+)=(.*)$", listed, flags=re.MULTILINE)
    configured = {name: ast.literal_eval(value) for _, name, value in sorted(found, key=_precedence)}
    translated = {
        variable: separator.join(configured[name].split())
        for name, (variable, separator) in _UV_VARIABLES.items()
        if name in configured
    }
    # As pip does: take the best version from all indexes, not from the first that has the package; and compile at once, since
    # with PYTHONDONTWRITEBYTECODE each start would compile everything again.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_COMPILE_BYTECODE": "1"} | translated | os.environ


def _precedence(setting: tuple[str, str, str]) -> int:
    return ("global", "install", ":env:").index(setting[0])


def _is_cpu_build_better() -> bool:
    """Whether CUDA cannot be used: on Linux, PyPI's PyTorch brings gigabytes of it, even without NVIDIA's driver."""
    has_driver = shutil.which("nvidia-smi") or any(Path(name).exists() for name in _DRIVER_FILES)
    return sys.platform == "linux" and not has_driver


def _reaches_cpu_build(environment: dict[str, str]) -> bool:
    """Whether uv, which knows PyTorch's own index, finds the CPU build there in time."""
    options = ["--dry-run", "--reinstall", "--no-deps", "--torch-backend", "cpu"]
    question = [*_UV, "install", "--python", sys.executable, *options, _pin("torch", "requirements-serve.txt")]
    try:
        return _succeeds(question, environment | {"UV_HTTP_RETRIES": "0"}, quiet=True, timeout_seconds=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False


def _pin(package: str, file: str) -> str:
    [pin] = re.findall(rf"^{package}==.+$", (_ROOT / file).read_text("utf-8"), flags=re.MULTILINE)
    return pin


def _succeeds(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    *,
    quiet: bool = False,
    timeout_seconds: float | None = None,
) -> bool:
    errors = subprocess.DEVNULL if quiet else None
    done = subprocess.run(command, env=environment, stderr=errors, timeout=timeout_seconds, check=False)  # noqa: S603
    return done.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
