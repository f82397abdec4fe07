"""A training configuration that phantoms can be trained with in seconds, and the `cxr train` that does it."""

from typing import Any

from service.commands.cxr import main

CONFIG = """
[data]
image_size_px = 64
workers = 0
near_duplicate_bits = 3
balance = "class_source"
[augment]
resize_px = 72
[model]
architecture = "mobilenetv3_small_050"
hidden = 16
weights = "none"
[optimiser]
batch_size = 8
[schedule]
epochs = 3
warmup_epochs = 1
frozen_epochs = 1
[averaging]
kind = "ema"
decay = 0.5
start_epoch = 2
[run]
device = "cpu"
threads = 1
"""

# Begins with ImageNet's features from a package, and learns phantoms in four epochs.
PACKAGED = """
[data]
workers = 0
near_duplicate_bits = 3
[model]
architecture = "tf_efficientnet_lite0"
hidden = 64
weights = "packaged"
[augment]
resize_px = 232
[optimiser]
batch_size = 8
learning_rate = 2e-3
[schedule]
epochs = 4
warmup_epochs = 1
frozen_epochs = 0
cycle_epochs = 3
[run]
device = "cpu"
threads = 2
"""


def train_options(config: Any, data: Any, out: Any, *more: Any, **settings: Any) -> list[str]:
    """Arguments of `cxr`. settings: section__key=value, written as --set."""
    changes = [f"--set={name.replace('__', '.')}={value}" for name, value in settings.items()]
    return [str(word) for word in ("train", "--config", config, "--data", data, "--out", out, *more, *changes)]


def train(config: Any, data: Any, out: Any, *more: Any, **settings: Any) -> int:
    """Exit status of `cxr train`."""
    return main(train_options(config, data, out, *more, **settings))
