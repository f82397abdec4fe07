"""Devices, precision, processes and seeds."""

import os
from types import SimpleNamespace

import pytest
import torch

from training.config import RunConfig
from training.devices import Processes, choose_device, choose_precision, join_processes, seed_everything
from training.errors import ConfigError


def test_automatic_precision_is_full_on_the_cpu_and_fp16_elsewhere():
    assert choose_precision("auto", torch.device("cpu")).dtype is None
    assert choose_precision("bf16", torch.device("cpu")).dtype is torch.bfloat16
    cuda, mps = (choose_precision("auto", SimpleNamespace(type=kind)) for kind in ("cuda", "mps"))
    assert (cuda.dtype, cuda.scales_gradients) == (torch.float16, True)
    assert (mps.dtype, mps.scales_gradients) == (torch.float16, False)
    with pytest.raises(ConfigError, match="bf16"):
        choose_precision("fp16", torch.device("cpu"))


def test_a_missing_device_is_refused_by_name():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="available"):
        choose_device("tpu")


def test_a_cuda_process_gathers_on_its_own_device(monkeypatch):
    chosen = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *, backend: chosen.append(backend))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert join_processes(torch.device("cuda:1")) == Processes(1, 2)
    assert chosen == [torch.device("cuda:1"), "nccl"]


@pytest.mark.parametrize(("name", "expected"), [("cuda", "cuda:1"), ("auto", "cuda:1"), ("cuda:0", "cuda:0")])
def test_each_process_of_a_machine_takes_the_cuda_device_of_its_local_rank_unless_one_is_named(monkeypatch, name, expected):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(name) == torch.device(expected)


@pytest.fixture
def determinism_restored():
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(enabled, warn_only=warns)
    torch.utils.deterministic.fill_uninitialized_memory = filled
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


@pytest.mark.usefixtures("determinism_restored")
@pytest.mark.parametrize(
    ("deterministic", "before", "expected"), [(True, "", ":4096:8"), (True, ":16:8", ":16:8"), (False, "", None)]
)
def test_determinism_reaches_cublas_before_cuda_is_seeded(monkeypatch, deterministic, before, expected):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", before)  # also has it restored afterwards
    if not before:
        del os.environ["CUBLAS_WORKSPACE_CONFIG"]
    seen = set()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: seen.add(os.environ.get("CUBLAS_WORKSPACE_CONFIG")))
    seed_everything(RunConfig(deterministic=deterministic))
    assert seen == {expected}


@pytest.mark.usefixtures("determinism_restored")
def test_a_deterministic_run_does_not_fill_memory_that_is_overwritten_at_once():
    seed_everything(RunConfig(deterministic=True))
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
