from pathlib import Path
from typing import Any

import pytest
import torch

from export.checkpoint import rebuild_network, without_paths
from export.export import export_bundle
from service.film.preprocessing import PreprocessSpec
from training.config_file import config_from_dict
from training.errors import CheckpointInvalid
from training.network.checkpoint import load_checkpoint, save_checkpoint


def altered(path: Path, folder: Path, **changes: Any) -> Path:
    checkpoint = {**torch.load(path, weights_only=True), **changes}
    save_checkpoint(folder / "altered.pt", {key: value for key, value in checkpoint.items() if value is not None})
    return folder / "altered.pt"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"class_names": ["Tuberculosis", "Pneumonia", "Normal"]}, "classes are"),
        (
            {"config": {"model": {"architecture": "no_such_network", "hidden": 64, "dropout": 0.3}}},
            "does not describe a network",
        ),
        ({"config": {"model": {"hidden": "many"}}}, "cannot read the checkpoint's config .model.hidden"),
        ({"config": 3}, "cannot read the checkpoint's config"),
        ({"model_state_dict": {}}, "weights do not fit tf_efficientnet_lite0"),
        ({"history": None}, "lacks history"),
    ],
)
def test_a_checkpoint_that_is_not_ours_is_refused(changes, complaint, tiny_checkpoint, export_data, tmp_path):
    checkpoint = altered(tiny_checkpoint, tmp_path, **changes)
    with pytest.raises(CheckpointInvalid, match=complaint):
        export_bundle(checkpoint, export_data, version="1.0.0", out=tmp_path / "models")
    assert not (tmp_path / "models").exists() or list((tmp_path / "models").iterdir()) == []


def test_absolute_paths_are_reduced_to_their_last_part():
    config = {"a": "/data/films", "b": {"c": ["/weights/w.pt", "relative/w.pt", 3, None, True]}, "d": "text"}
    assert without_paths(config) == {"a": "films", "b": {"c": ["w.pt", "relative/w.pt", 3, None, True]}, "d": "text"}


@pytest.mark.parametrize(("resize_px", "decode_side_px"), [(246, 256), (300, 300)])
def test_films_are_decoded_no_smaller_than_training_decoded_them(resize_px, decode_side_px, tiny_checkpoint):
    checkpoint = load_checkpoint(tiny_checkpoint)
    config = config_from_dict({**checkpoint["config"], "augment": {"resize_px": resize_px}})
    assert rebuild_network(checkpoint, config)[1] == PreprocessSpec(image_size_px=224, decode_side_px=decode_side_px)
