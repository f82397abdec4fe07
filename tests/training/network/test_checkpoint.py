from pathlib import Path

import pytest

from training.errors import CheckpointInvalid
from training.network.checkpoint import load_checkpoint, save_checkpoint


def test_a_checkpoint_with_code_inside_is_refused(tmp_path, tiny_checkpoint):
    path = tmp_path / "evil.pt"
    save_checkpoint(path, load_checkpoint(tiny_checkpoint) | {"epoch": Path("/")})
    with pytest.raises(CheckpointInvalid, match="plain values"):
        load_checkpoint(path)


def test_an_incomplete_or_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointInvalid, match="No checkpoint"):
        load_checkpoint(tmp_path / "absent.pt")
    save_checkpoint(tmp_path / "short.pt", {"epoch": 1})
    with pytest.raises(CheckpointInvalid, match="lacks model_state_dict"):
        load_checkpoint(tmp_path / "short.pt")
