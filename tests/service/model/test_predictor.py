from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.model.bundle import ModelBundle
from service.model.errors import GoldenMismatch, ManifestInvalid
from service.model.manifest import GOLDEN_NAME
from service.model.predictor import OUTPUT_NAMES, Predictor
from tests.support.encoded_films import film
from tests.support.manifests import copy_bundle


@pytest.fixture(scope="module")
def predictor(bundle_path):
    return Predictor.from_bundle(ModelBundle.open(bundle_path))


@pytest.fixture
def altered(bundle_path, tmp_path):
    """Factory: a copy of the bundle with one file replaced and its hash set right."""
    return lambda **contents: ModelBundle.open(copy_bundle(bundle_path, tmp_path, "1.0.0", **contents))


def golden_arrays(bundle_path):
    with np.load(bundle_path / GOLDEN_NAME) as arrays:
        return {name: arrays[name] for name in arrays.files}


def saved(tmp_path, arrays):
    np.savez(tmp_path / "arrays.npz", **arrays)
    return (tmp_path / "arrays.npz").read_bytes()


def test_only_the_outputs_asked_for_are_returned(predictor):
    images = film(224)[None]
    assert set(predictor.predict(images)) == {"probabilities"}
    outputs = predictor.predict(images, OUTPUT_NAMES)
    features = predictor.manifest.head.features
    shapes = {name: value.shape for name, value in outputs.items()}
    assert shapes == {"probabilities": (1, 3), "logits": (1, 3), "embedding": (1, features), "features": (1, features, 7, 7)}
    assert all(value.dtype == np.float32 for value in outputs.values())


def test_probabilities_are_the_softmax_of_logits_over_temperature(predictor):
    outputs = predictor.predict(film(224)[None], ("probabilities", "logits"))
    scaled = np.exp(outputs["logits"][0].astype(np.float64) / predictor.manifest.temperature)
    assert np.allclose(outputs["probabilities"][0], scaled / scaled.sum(), atol=1e-5)


def test_a_film_gets_the_same_answer_alone_in_a_batch_and_from_another_thread(predictor):
    images = np.stack([film(224, seed) for seed in range(4)])
    batch = predictor.predict(images)["probabilities"]
    with ThreadPoolExecutor(4) as threads:
        alone = list(threads.map(lambda image: predictor.predict(image[None])["probabilities"][0], images))
    assert np.allclose(batch, alone, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 224, 224), np.float32),
        np.zeros((224, 224), np.uint8),
        np.zeros((1, 225, 224), np.uint8),
        np.zeros((0, 224, 224), np.uint8),
    ],
)
def test_other_arrays_are_refused(predictor, images):
    with pytest.raises(ValueError, match="to_model_input"):
        predictor.predict(images)


def test_golden_outputs_are_reproduced(predictor, bundle_path):
    predictor.replay_golden(ModelBundle.open(bundle_path))


@pytest.mark.parametrize(
    ("name", "change"), [("probabilities", 0.01), ("logits", 0.01), ("embedding", 0.01), ("probabilities", np.nan)]
)
def test_golden_outputs_that_differ_or_are_not_numbers_are_a_mismatch(predictor, altered, bundle_path, tmp_path, name, change):
    arrays = golden_arrays(bundle_path)
    arrays[name][-1, 0] += change * max(1.0, np.abs(arrays[name]).max())
    with pytest.raises(GoldenMismatch, match=name):
        predictor.replay_golden(altered(golden=saved(tmp_path, arrays)))


@pytest.mark.parametrize("arrays", [{}, {"images": np.zeros((0, 224, 224), np.uint8), "probabilities": np.zeros((0, 3))}])
def test_golden_inputs_that_prove_nothing_are_a_mismatch(predictor, altered, tmp_path, arrays):
    with pytest.raises(GoldenMismatch, match="must record images"):
        predictor.replay_golden(altered(golden=saved(tmp_path, arrays)))


def test_a_golden_file_of_another_kind_is_a_mismatch(predictor, altered):
    with pytest.raises(GoldenMismatch, match="not an archive"):
        predictor.replay_golden(altered(golden=b"not an archive of arrays"))


def test_a_graph_that_cannot_be_run_is_an_invalid_bundle(altered):
    with pytest.raises(ManifestInvalid, match="cannot be run"):
        Predictor.from_bundle(altered(model=b"not a graph"))
