"""Conditions of a run: the model, the kind of machine, the versions. Never the machine's name or its folders."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from service.model.manifest import ModelManifest

# Packages whose version can change a measurement.
PACKAGES = (
    "bentoml",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "numpy",
    "starlette",
    "uvicorn",
    "fastapi",
    "torch",
    "torchvision",
    "timm",
)


@dataclass(frozen=True)
class Conditions:
    """Conditions of a run."""

    model: str  # name, version and architecture
    cpu: str  # model name
    cores: int  # that this process may use
    memory_gigabytes: float  # of the machine
    system: str  # operating system and architecture
    python: str  # version
    versions: Mapping[str, str]  # of PACKAGES
    load_average: float  # of the minute before the run


def read_conditions(manifest: ModelManifest) -> Conditions:
    """Read the conditions of this machine."""
    return Conditions(
        model=f"{manifest.name} {manifest.version} ({manifest.architecture})",
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gigabytes=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version(name) for name in PACKAGES},
        load_average=round(os.getloadavg()[0], 2),
    )


def _cpu_model() -> str:
    """The model's name; on Linux with or without AVX-512, which halves the time of a model run."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in cpuinfo.read_text("utf-8").splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    model = facts.get("model name", platform.machine())
    if "flags" not in facts:
        return model
    return f"{model} {'with' if 'avx512f' in facts['flags'].split() else 'without'} AVX-512"
