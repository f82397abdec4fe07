"""What a run begins with: a source that is held out must be new to it."""

from dataclasses import replace

import pytest

from training.config import TrainConfig
from training.errors import ConfigError
from training.network.checkpoint import load_checkpoint, save_checkpoint
from training.network.initialise import require_unseen_source


def config_of(weights: str, origin: object, held_out: str) -> TrainConfig:
    config = TrainConfig()
    return replace(
        config,
        data=replace(config.data, held_out_source=held_out),
        model=replace(config.model, weights=weights, weights_file=str(origin)),
    )


def test_a_released_model_that_has_learnt_from_a_source_cannot_begin_a_run_without_it(bundle_path):
    with pytest.raises(ConfigError, match=r"held_out_source is 'clinic'.*begin with weights that were, or with"):
        require_unseen_source(config_of("bundle", bundle_path, "clinic"))
    require_unseen_source(config_of("bundle", bundle_path, ""))
    require_unseen_source(config_of("packaged", "", "clinic"))


def test_a_checkpoint_may_if_its_own_run_held_the_source_out(tiny_checkpoint, tmp_path):
    seen, unseen = tiny_checkpoint, tmp_path / "unseen.pt"
    checkpoint = load_checkpoint(seen)
    checkpoint["config"]["data"]["held_out_source"] = "clinic"
    save_checkpoint(unseen, checkpoint)
    require_unseen_source(config_of("checkpoint", unseen, "clinic"))
    for origin, held_out in ((seen, "clinic"), (unseen, "hospital")):
        with pytest.raises(ConfigError, match="were not trained without that"):
            require_unseen_source(config_of("checkpoint", origin, held_out))
