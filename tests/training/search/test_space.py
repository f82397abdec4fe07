"""The space of a search: every point is a valid configuration."""

from pathlib import Path

import optuna
import pytest

from training.config_file import config_from_dict, load_config
from training.search.short_run import shortened
from training.search.space import SPACE, SPACE_WITHOUT_SOURCES, STRENGTH, base_values, scaled_augment, suggest, tuned

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "training" / "configs").glob("*.toml"))


def drawn_values(count, space):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(study.ask(), space) for _ in range(count)]


@pytest.mark.parametrize("space", [SPACE, SPACE_WITHOUT_SOURCES])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_point_of_the_space_is_a_valid_configuration_in_full_and_shortened(path, space):
    base = load_config(path)
    for values in drawn_values(20, space):
        config = tuned(base, values)
        short = shortened(config, epochs=4, films=100, all_films=1000, side_px=160)
        assert (short.schedule.epochs, short.data.image_size_px) == (4, 160)
        assert short.optimiser == config.optimiser
        assert config.optimiser.learning_rate == values["optimiser.learning_rate"]


def test_sources_are_balanced_only_where_they_are_known():
    assert {values["data.balance"] for values in drawn_values(60, SPACE_WITHOUT_SOURCES)} == {"none", "class"}
    assert "class_source" in {values["data.balance"] for values in drawn_values(60, SPACE)}


def test_the_base_configuration_is_a_point_of_its_own_space():
    base = load_config(next(path for path in CONFIGS if path.stem == "release"))
    values = base_values(base, SPACE)
    assert values.keys() == SPACE.keys()
    assert tuned(base, values) == base
    study = optuna.create_study()
    study.enqueue_trial(values)
    assert suggest(study.ask(), SPACE) == values


def test_what_the_space_does_not_hold_of_the_base_is_left_to_be_drawn():
    base = config_from_dict({"schedule": {"frozen_epochs": 5}, "averaging": {"kind": "ema", "decay": 0.5}})
    values = base_values(base, SPACE)
    assert "schedule.frozen_epochs" not in values and "averaging.decay" not in values
    assert values["averaging.kind"] == "ema" and values["optimiser.backbone_factor"] == 0.1


def test_strength_scales_augmentations_and_keeps_probabilities_below_one():
    augment = config_from_dict({"augment": {"erase": 0.8, "gamma": 1.6, "rotation_degrees": 8.0, "brightness": 0.7}}).augment
    assert scaled_augment(augment, 0.0) == {name: 1.0 if name == "gamma" else 0.0 for name in scaled_augment(augment, 0.0)}
    stronger = scaled_augment(augment, max(SPACE[STRENGTH].choices))
    assert (stronger["erase"], stronger["rotation_degrees"], stronger["brightness"]) == (1.0, 12.0, 0.9)
    assert stronger["gamma"] == pytest.approx(1.9)
    assert all(getattr(augment, name) == pytest.approx(value) for name, value in scaled_augment(augment, 1.0).items())


def test_the_average_of_a_short_run_spans_the_same_share_of_its_steps():
    base = config_from_dict({"averaging": {"kind": "ema", "decay": 0.99}, "schedule": {"epochs": 20}})
    short = shortened(base, epochs=5, films=100, all_films=1000, side_px=160)
    # 40 times fewer steps: each forgets what 40 did.
    assert short.averaging.decay == pytest.approx(0.99**40)
