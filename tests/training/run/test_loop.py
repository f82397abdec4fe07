"""Losses, mixing, accumulation, averaging, precision."""

import os
from types import SimpleNamespace

import pytest
import torch
from torch.optim import swa_utils

from training.config import AugmentConfig, AveragingConfig, LossConfig, OptimiserConfig, RunConfig
from training.data.batches import NO_FINDING_SHOWN
from training.devices import Processes, choose_device, choose_precision, join_processes, seed_everything
from training.errors import ConfigError, TrainingDiverged
from training.network.running_average import RunningAverage
from training.network.classifier import build_network
from training.run.loop import Stepper, evaluate_epoch, loss_terms, mix, target_distributions, train_epoch


def soft_cross_entropy(logits, targets, weights):
    terms = loss_terms(logits, targets, weights)
    return terms.summed / terms.weight


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_soft_cross_entropy_equals_pytorchs_for_hard_targets(weights):
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 3), torch.randint(0, 3, (16,))
    own = soft_cross_entropy(logits, torch.nn.functional.one_hot(labels, 3).float(), weights)
    torch.testing.assert_close(own, torch.nn.functional.cross_entropy(logits, labels, weights))


def test_label_smoothing_equals_pytorchs():
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 3), torch.randint(0, 3, (16,))
    smooth = torch.nn.functional.one_hot(labels, 3).float() * 0.9 + 0.1 / 3
    torch.testing.assert_close(
        soft_cross_entropy(logits, smooth, None), torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    )


def test_a_film_that_shows_no_finding_is_to_be_called_nothing():
    targets = target_distributions(torch.tensor([1, NO_FINDING_SHOWN]), 0.1)
    torch.testing.assert_close(targets, torch.tensor([[0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3], [1 / 3, 1 / 3, 1 / 3]]))


def test_mixing_is_off_by_default_and_keeps_images_as_they_are():
    images, targets = torch.randint(0, 256, (4, 8, 8), dtype=torch.uint8), torch.eye(4)[:, :3]
    assert mix(images, targets, AugmentConfig())[0] is images


def test_mixup_mixes_pixels_and_targets_by_the_same_share():
    torch.manual_seed(3)
    images = torch.stack([torch.full((8, 8), 200, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.uint8)])
    mixed, targets = mix(images, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), AugmentConfig(mixup_alpha=1.0))
    torch.testing.assert_close(mixed[:, 0, 0] / 200.0, targets[:, 0])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))


def test_cutmix_pastes_a_box_whose_area_is_the_targets_share():
    for seed in range(5):
        torch.manual_seed(seed)
        images = torch.stack([torch.full((32, 32), 200, dtype=torch.uint8), torch.zeros(32, 32, dtype=torch.uint8)])
        mixed, targets = mix(images, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), AugmentConfig(cutmix_alpha=1.0))
        torch.testing.assert_close((mixed == 200).float().mean(dim=(1, 2)), targets[:, 0])


# Which film is which matters to source alignment alone.
NO_FILMS = torch.empty(0, dtype=torch.int64)
UNSMOOTHED = LossConfig(label_smoothing=0.0)


class _Linear(torch.nn.Module):
    """A network small enough to compute by hand: logits are linear in the mean grey value."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.1, -0.2, 0.3]))

    def forward(self, images):
        grey = (images.float().mean(dim=(1, 2)) / 255.0).unsqueeze(1)
        return grey * self.weight, grey


def one_epoch(batch_size, accumulation_steps):
    torch.manual_seed(0)
    images, labels = torch.randint(0, 256, (12, 4, 4), dtype=torch.uint8), torch.arange(12) % 3
    loader = [(images[i : i + batch_size], labels[i : i + batch_size], NO_FILMS) for i in range(0, 12, batch_size)]
    network, device = _Linear(), torch.device("cpu")
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    steps = []
    optimiser.register_step_post_hook(lambda *_: steps.append(1))
    precision = choose_precision("off", device)
    stepper = Stepper(
        network, optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0), precision.scaler(),
        RunningAverage(network, AveragingConfig()), OptimiserConfig(accumulation_steps=accumulation_steps, clip_norm=100.0),
    )  # fmt: skip
    train_epoch(network, stepper, loader, None, UNSMOOTHED, None, None, AugmentConfig(), precision, device, Processes(), "test")
    return network.weight.detach(), len(steps)


def test_accumulated_small_batches_equal_one_large_batch():
    torch.testing.assert_close(one_epoch(12, 1)[0], one_epoch(3, 4)[0])


def test_a_short_last_accumulation_group_still_makes_a_step():
    assert one_epoch(3, 3)[1] == 2


def test_ema_follows_steps_and_swa_follows_epochs():
    network = torch.nn.Linear(1, 1, bias=False)
    for kind, expected in (("ema", 0.5 * 1.0 + 0.5 * 3.0), ("swa", (1.0 + 3.0) / 2)):
        average = RunningAverage(network, AveragingConfig(kind=kind, decay=0.5, start_epoch=2))
        average.begin_epoch(1)
        assert average.judged is network
        average.begin_epoch(2)
        for value in (1.0, 3.0):
            torch.nn.init.constant_(network.weight, value)
            average.after_step()
            average.after_epoch()
        assert average.judged.weight.item() == pytest.approx(expected)
        restored = RunningAverage(network, AveragingConfig(kind=kind, decay=0.5, start_epoch=2))
        restored.load_state_dict(average.state_dict())
        restored.begin_epoch(3)
        assert restored.judged.weight.item() == pytest.approx(expected)


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


@pytest.mark.parametrize("architecture", ["efficientnet_b0", "tf_efficientnet_lite0", "resnet50", "densenet121"])
def test_the_head_is_the_reports_on_every_backbone(architecture):
    network = build_network(architecture)
    assert [type(layer).__name__ for layer in network.head.children()] == [
        "BatchNorm1d", "Dropout", "Linear", "BatchNorm1d", "Dropout", "Linear",
    ]  # fmt: skip
    assert (network.head.dropout_in.p, network.head.dropout_hidden.p) == (0.3, 0.15)
    assert network.head.spec.features == network.head.norm_in.num_features
    if architecture.startswith("efficientnet"):
        assert sum(p.numel() for p in network.head.parameters()) == pytest.approx(330_000, rel=0.01)  # Table 11


CPU = torch.device("cpu")


# Sorted by class, as validation films are: each batch's own weighted mean would cancel the class weights.
SORTED_IMAGES = torch.arange(12, dtype=torch.uint8).repeat_interleave(16).view(12, 4, 4) * 20
SORTED_LABELS = torch.arange(12) // 4
SKEWED_WEIGHTS = torch.tensor([0.2, 1.0, 5.0])


def in_batches(size, films=slice(None)):
    return list(zip(SORTED_IMAGES[films].split(size), SORTED_LABELS[films].split(size), strict=True))


def train_once(network, loader, *, weights=None, smoothing=0.0, mixing=AugmentConfig(), accumulation_steps=1):  # noqa: B008
    """One training epoch at learning rate 0, so that every batch meets the same weights."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0)
    precision = choose_precision("off", CPU)
    stepper = Stepper(
        network, optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0), precision.scaler(),
        RunningAverage(network, AveragingConfig()), OptimiserConfig(accumulation_steps=accumulation_steps),
    )  # fmt: skip
    loss = LossConfig(label_smoothing=smoothing)
    films = [(*batch, NO_FILMS) for batch in loader]
    return train_epoch(network, stepper, films, weights, loss, None, None, mixing, precision, CPU, Processes(), "epoch 3")


def judge(network, loader, *, weights=None, smoothing=0.0, processes=Processes()):  # noqa: B008
    return evaluate_epoch(network, loader, weights, smoothing, choose_precision("off", CPU), CPU, processes, "epoch 3 val")


@pytest.mark.parametrize("epoch", [judge, train_once])
@pytest.mark.parametrize("batch_size", [3, 4, 5])
def test_the_reported_loss_is_the_weighted_mean_over_films_however_they_are_batched(epoch, batch_size):
    plain = epoch(_Linear(), in_batches(batch_size), weights=SKEWED_WEIGHTS).loss
    expected = torch.nn.functional.cross_entropy(_Linear()(SORTED_IMAGES)[0], SORTED_LABELS, SKEWED_WEIGHTS)
    assert plain == pytest.approx(expected.item(), rel=1e-5)
    whole, parts = (epoch(_Linear(), in_batches(size), weights=SKEWED_WEIGHTS, smoothing=0.1).loss for size in (12, batch_size))
    assert parts == pytest.approx(whole, rel=1e-5)
    assert parts != pytest.approx(plain, rel=1e-3)


def test_accumulation_does_not_change_the_reported_loss():
    at_once, accumulated = (
        train_once(_Linear(), in_batches(3), weights=SKEWED_WEIGHTS, accumulation_steps=steps).loss for steps in (1, 4)
    )
    assert accumulated == at_once


def test_loss_terms_of_mixed_films_add_up_over_batches():
    torch.manual_seed(0)
    logits, targets = torch.randn(12, 3), torch.rand(12, 3).softmax(dim=1)
    whole = loss_terms(logits, targets, SKEWED_WEIGHTS)
    parts = [loss_terms(*part, SKEWED_WEIGHTS) for part in zip(logits.split(5), targets.split(5), strict=True)]
    torch.testing.assert_close(sum(part.summed for part in parts), whole.summed)
    torch.testing.assert_close(sum(part.weight for part in parts), whole.weight)


def test_processes_with_unlike_films_report_the_loss_over_all_of_them(monkeypatch):
    shares = []

    def gather(parts, own):
        shares.append(own)
        parts[:] = [shares[0], own]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    for rank, films in enumerate((slice(0, 3), slice(3, 12))):
        figures = judge(_Linear(), in_batches(4, films), weights=SKEWED_WEIGHTS, processes=Processes(rank, 2))
    alone = judge(_Linear(), in_batches(12), weights=SKEWED_WEIGHTS)
    assert figures.loss == pytest.approx(alone.loss, rel=1e-5)
    assert figures.accuracy == pytest.approx(alone.accuracy)


class _Nearest(torch.nn.Module):
    """Calls the class whose grey value (0, 100, 200) is nearest."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        grey = images.float().mean(dim=(1, 2))
        return -self.weight * (grey[:, None] - torch.tensor([0.0, 100.0, 200.0])).abs(), grey


@pytest.mark.parametrize(("seed", "kept"), [(0, 0.0), (1, 1.0)])
def test_mixed_films_are_scored_against_the_finding_with_the_larger_share(seed, kept):
    labels = torch.arange(30) % 3
    images = (labels[:, None, None] * 100).to(torch.uint8).expand(-1, 4, 4).contiguous()
    torch.manual_seed(seed)
    assert float(torch.distributions.Beta(0.05, 0.05).sample()) == pytest.approx(kept, abs=1e-3), "choose another seed"
    torch.manual_seed(seed)
    figures = train_once(_Nearest(), [(images, labels)], mixing=AugmentConfig(mixup_alpha=0.05))
    assert (figures.accuracy, figures.f1) == (1.0, 1.0)


@pytest.mark.parametrize(("epoch", "place"), [(train_once, "epoch 3"), (judge, "epoch 3 val")])
def test_a_loss_that_is_no_number_ends_the_run_and_names_batch_and_remedies(epoch, place):
    images = torch.arange(12, dtype=torch.float32).view(12, 1, 1).expand(-1, 4, 4).clone()
    images[7] = float("nan")
    loader = list(zip(images.split(3), SORTED_LABELS.split(3), strict=True))
    with pytest.raises(TrainingDiverged, match=rf'nan in batch 3 of {place};.*optimiser\.learning_rate.*run\.amp = "off"'):
        epoch(_Linear(), loader)


def test_swa_is_the_mean_over_epochs_integer_counters_included(monkeypatch):
    # On CUDA AveragedModel may average all tensors of a kind at once; let it take the CPU for such a device.
    monkeypatch.setattr(swa_utils, "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    network = torch.nn.BatchNorm1d(2)
    average = RunningAverage(network, AveragingConfig(kind="swa", start_epoch=1))
    for epoch, value in enumerate((1.0, 2.0, 6.0), start=1):
        average.begin_epoch(epoch)
        network.weight.data.fill_(value)
        network.num_batches_tracked.fill_(epoch)
        average.after_epoch()
    torch.testing.assert_close(average.judged.weight, torch.full((2,), 3.0))
    assert average.judged.num_batches_tracked.dtype == torch.int64


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
    yield
    torch.use_deterministic_algorithms(enabled, warn_only=warns)
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
