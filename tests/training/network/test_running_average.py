import pytest
import torch
from torch.optim import swa_utils

from training.config import AveragingConfig
from training.network.running_average import RunningAverage


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
