"""A config is the report's recipe unless it says otherwise, and nothing in it is repaired silently."""

import tomllib
from pathlib import Path

import pytest

from training.config import TrainConfig
from training.config_file import as_toml, config_from_dict, load_config
from training.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "training" / "configs").glob("*.toml"))


def test_defaults_are_the_reports_recipe():
    config = TrainConfig()
    assert (config.model.architecture, config.model.hidden, config.model.dropout) == ("efficientnet_b0", 256, 0.3)
    assert (config.optimiser.learning_rate, config.optimiser.weight_decay) == (1e-3, 0.01)
    assert (config.optimiser.beta1, config.optimiser.beta2, config.optimiser.clip_norm) == (0.9, 0.999, 1.0)
    assert (config.optimiser.batch_size, config.optimiser.backbone_factor) == (32, 0.1)
    assert (config.schedule.warmup_epochs, config.schedule.frozen_epochs, config.schedule.minimum_learning_rate) == (3, 5, 1e-5)
    assert (config.loss.class_weights, config.loss.label_smoothing, config.stopping.patience) == (True, 0.1, 10)
    assert (config.augment.clahe, config.augment.horizontal_flip, config.augment.rotation_degrees) == (0.2, 0.5, 10.0)
    assert (config.augment.resize_px, config.data.image_size_px, config.run.seed) == (246, 224, 42)


def test_report_config_file_equals_the_defaults():
    assert load_config(next(path for path in CONFIGS if path.name == "report.toml")) == TrainConfig()


def test_overrides_are_applied_after_the_file():
    config = load_config(CONFIGS[0], ("schedule.epochs=2", 'run.device="cuda:1"'))
    assert (config.schedule.epochs, config.run.device) == (2, "cuda:1")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"optimizer": {}}, "optimizer"),
        ({"optimiser": {"lr": 1}}, "optimiser.lr"),
        ({"optimiser": {"learning_rate": "fast"}}, "optimiser.learning_rate"),
        ({"optimiser": {"batch_size": True}}, "optimiser.batch_size"),
        ({"optimiser": {"batch_size": "8"}}, "optimiser.batch_size"),
        ({"optimiser": {"batch_size": 1}}, "batch_size"),
        ({"model": {"weights": "internet"}}, "hub"),
        ({"model": {"weights": "file"}}, "weights_file"),
        ({"augment": {"jpeg": 1.5}}, "jpeg"),
        ({"augment": {"resize_px": 100}}, "resize_px"),
        ({"augment": {"mixup_alpha": 0.2, "cutmix_alpha": 0.2}}, "exclude"),
        ({"augment": {"mixup_alpha": 0.2}, "loss": {"source_alignment": 0.1}}, "one class each"),
        ({"loss": {"source_alignment": -0.1}}, "source_alignment"),
        ({"model": {"weights": "bundle"}}, "weights_file"),
        ({"model": {"weights": "checkpoint"}}, "weights_file"),
        ({"loss": {"distillation": 0.5}}, "predict the findings"),
        ({"loss": {"distillation": 1.5}, "model": {"weights": "bundle", "weights_file": "a"}}, "loss.distillation"),
        ({"augment": {"hollow": 0.1}}, "data.lungs"),
        ({"schedule": {"small_epochs": 3, "epochs": 3}}, "small_epochs"),
        ({"schedule": {"small_epochs": -1}}, "small_epochs"),
        ({"augment": {"surroundings": 0.8, "hollow": 0.8}, "data": {"lungs": "lungs.onnx"}}, "exceed 1 together"),
        ({"augment": {"surroundings": 1.2}, "data": {"lungs": "lungs.onnx"}}, "surroundings"),
        ({"schedule": {"small_epochs": 2, "small_side_px": 256}}, "small_side_px"),
        ({"run": 3}, "run"),
    ],
)
def test_a_wrong_value_is_refused_by_name(document, named):
    with pytest.raises(ConfigError, match=named):
        config_from_dict(document)


def test_a_missing_file_and_broken_toml_are_named(tmp_path):
    with pytest.raises(ConfigError, match="No config"):
        load_config(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[data\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(broken)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_written_as_toml_reads_back_equal(path, tmp_path):
    config = load_config(path)
    written = tmp_path / "again.toml"
    written.write_text(as_toml(config, "two lines\nof comment"))
    assert load_config(written) == config


def test_strings_that_toml_must_escape_survive():
    config = config_from_dict({"model": {"weights": "file", "weights_file": 'odd "name"\\ of\tübung.pth'}})
    assert config_from_dict(tomllib.loads(as_toml(config))) == config
