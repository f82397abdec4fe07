"""Lungs outlined by the released segmenter."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.errors import BundleNotFound, ManifestInvalid
from service.model.findings import FINDINGS
from tests.support.training.phantom_lungs import phantom_mask
from training.data.lung_segmenter import LungSegmenter, tidy
from training.lungs.train import GRAPH_NAME


def test_tidying_keeps_two_large_regions_and_fills_their_holes():
    found = np.zeros((80, 80), bool)
    found[10:60, 10:30] = found[10:60, 50:70] = True
    found[30:35, 15:20] = False
    found[70:74, 38:42] = True
    lungs = tidy(found)
    assert lungs[32, 17] and not lungs[72, 40]
    assert lungs.sum() == 2 * 50 * 20
    assert not tidy(np.eye(80, dtype=bool)).any(), "nothing is large enough"


def test_the_released_segmenter_finds_the_lungs_of_a_phantom_at_any_size():
    segmenter = LungSegmenter.open(Path("models/lung-fields-1.0.0") / GRAPH_NAME)
    for side in (100, 224):
        found, drawn = segmenter.outline(phantom_film(FINDINGS[0], 7, side)), phantom_mask(side).astype(bool)
        assert found.shape == (side, side)
        assert 2 * np.sum(found & drawn) / (found.sum() + drawn.sum()) > 0.8


def test_a_segmenter_works_in_a_process_that_was_not_forked():
    segmenter = LungSegmenter.open(Path("models/lung-fields-1.0.0") / GRAPH_NAME)
    film = phantom_film(FINDINGS[0], 7, 100)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(segmenter.outline))(film), segmenter.outline(film))


def test_a_segmenter_that_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(BundleNotFound, match=r"absent\.onnx.*cxr lungs"):
        LungSegmenter.open(tmp_path / "absent.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"nothing")
    with pytest.raises(ManifestInvalid, match=r"damaged\.onnx"):
        LungSegmenter.open(tmp_path / "damaged.onnx")
