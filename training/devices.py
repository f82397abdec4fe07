"""Where and how a run computes: device, mixed precision, seeds, processes."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from training.config import RunConfig
from training.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """The processes of a run that torchrun started."""

    rank: int = 0  # of this process
    count: int = 1  # of all processes; 1 without torchrun

    @property
    def is_main(self) -> bool:
        """True in the one process that prints and writes files."""
        return self.rank == 0


def join_processes(device: torch.device) -> Processes:
    """Join the process group if torchrun set one up: nccl on CUDA, gloo elsewhere."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    if device.type == "cuda":
        # NCCL gathers on the current device, which is the machine's first one unless it is set.
        torch.cuda.set_device(device)
    dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")
    return Processes(rank=dist.get_rank(), count=dist.get_world_size())


def leave_processes(processes: Processes) -> None:
    """Leave the process group."""
    if processes.count > 1:
        dist.destroy_process_group()


def share_buffers(module: nn.Module, processes: Processes) -> None:
    """Copy the main process's buffers to all, or each would validate a model with BatchNorm statistics of its own."""
    if processes.count > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def choose_device(name: str) -> torch.device:
    """The named device; "auto" takes CUDA, then MPS, then the CPU. Raises ConfigError if the machine does not have it."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [kind for kind, is_present in present.items() if is_present]
    if name == "auto":
        name = available[0]
    kind = name.partition(":")[0]
    if kind not in available:
        raise ConfigError(f"Device {name!r} is not available here; available: {', '.join(available)}, or auto.")
    if kind == "cuda" and name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return torch.device(name)


class _DepthwiseInFloat32(TorchFunctionMode):
    """Keeps depthwise convolutions in float32: on CPUs their gradients take three times as long in bfloat16 (oneDNN 3.12)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        groups = args[6] if len(args) == 7 else 1  # torch.nn and timm pass all by position
        if func is functional.conv2d and groups == args[0].shape[1] > 1:
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Precision:
    """The mixed precision that a device computes with."""

    device_type: str  # "cpu", "cuda" or "mps"
    dtype: torch.dtype | None  # of the forward pass; None is full precision
    scales_gradients: bool  # whether gradients are scaled, as fp16 on CUDA needs

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Context for the forward pass and the loss."""
        enabled = self.dtype is not None
        depthwise = _DepthwiseInFloat32() if enabled and self.device_type == "cpu" else nullcontext()
        with torch.autocast(self.device_type, dtype=self.dtype or torch.bfloat16, enabled=enabled), depthwise:
            yield

    def scaler(self) -> torch.amp.GradScaler:
        """A gradient scaler; a disabled one passes gradients through."""
        return torch.amp.GradScaler(self.device_type, enabled=self.scales_gradients)


def choose_precision(amp: str, device: torch.device) -> Precision:
    """Precision for run.amp. "auto" leaves the CPU at full precision: bf16 is slower there without AVX512-BF16."""
    if amp == "off" or (amp == "auto" and device.type == "cpu"):
        return Precision(device.type, None, scales_gradients=False)
    if amp == "fp16" and device.type == "cpu":
        raise ConfigError('run.amp = "fp16" is not supported on the CPU; use "bf16" or "off".')
    dtype = torch.bfloat16 if amp == "bf16" else torch.float16
    return Precision(device.type, dtype, scales_gradients=dtype is torch.float16 and device.type == "cuda")


@dataclass(frozen=True)
class Compute:
    """Where and how a process computes."""

    device: torch.device  # of network and batches
    precision: Precision  # of forward passes
    processes: Processes = Processes()  # of the run

    @classmethod
    def of(cls, config: RunConfig, device: torch.device, processes: Processes = Processes()) -> "Compute":
        """With the precision of run.amp. Raises ConfigError."""
        return cls(device, choose_precision(config.amp, device), processes)


def seed_everything(config: RunConfig) -> None:
    """Seed all generators and choose deterministic algorithms (REPORT Table 23)."""
    if config.deterministic:
        # cuBLAS reads this once, at the first matrix product. Without it, its order of summation varies from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)
    torch.cuda.manual_seed_all(config.seed)
    torch.backends.cudnn.deterministic = config.deterministic
    torch.backends.cudnn.benchmark = not config.deterministic
    torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    # Else PyTorch fills each new tensor before use. That takes a fifth of a run on the CPU, and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if config.threads:
        torch.set_num_threads(config.threads)


def seed_epoch(config: RunConfig, epoch: int, rank: int) -> None:
    """Make an epoch's dropout and mixing depend on (seed, epoch, rank) only, so that a resumed run repeats them."""
    torch.manual_seed(int(np.random.SeedSequence([config.seed, epoch, rank]).generate_state(1)[0]))
