import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.bundle import write_arrays
from service.model.bundle import ModelBundle
from service.model.errors import ManifestInvalid
from service.model.manifest import OUTLIERS_NAME
from service.model.outliers import OutlierStatistics, outlier_score, read_outlier_statistics
from tests.support.manifests import make_manifest

FEATURES = 6


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def some_statistics(rank: int = 2, noise: float = 0.02) -> OutlierStatistics:
    rng = np.random.default_rng(1)
    return OutlierStatistics(
        means=unit(rng.random((3, FEATURES))).astype(np.float32),
        components=np.linalg.qr(rng.normal(size=(FEATURES, rank)))[0].T.astype(np.float32),
        variances=np.linspace(0.3, 0.1, rank).astype(np.float32),
        noise_variance=np.array([noise], np.float32),
        mean_film=np.zeros((4, 4), np.float32),
    )


def write_statistics(path, statistics: OutlierStatistics, **changes: np.ndarray) -> ModelBundle:
    write_arrays(path / OUTLIERS_NAME, statistics)
    if changes:
        save_file({**load_file(path / OUTLIERS_NAME), **changes}, path / OUTLIERS_NAME)
    head = {"features": FEATURES, "hidden": 4, "classes": 3, "norm_eps": 1e-5}
    return ModelBundle(path, make_manifest(head=head))


@pytest.mark.parametrize("rank", [0, 1, 3, FEATURES])
def test_the_score_is_the_smallest_mahalanobis_distance_under_the_covariance_that_the_components_stand_for(rank):
    statistics = some_statistics(rank)
    within = statistics.components.T.astype(float)
    covariance = 0.02 * np.eye(FEATURES) + within @ np.diag(statistics.variances - 0.02) @ within.T
    for embedding in np.random.default_rng(2).random((20, FEATURES)).astype(np.float32):
        deviations = unit(embedding.astype(float)) - statistics.means
        distances = np.einsum("ij,jk,ik->i", deviations, np.linalg.inv(covariance), deviations)
        assert outlier_score(embedding, statistics) == pytest.approx(distances.min() / FEATURES, rel=1e-4)


def test_the_score_does_not_depend_on_the_length_of_the_embedding():
    embedding, statistics = np.random.default_rng(3).random(FEATURES).astype(np.float32), some_statistics()
    assert outlier_score(embedding * 7, statistics) == pytest.approx(outlier_score(embedding, statistics), rel=1e-4)


def test_an_embedding_of_zeros_has_a_score_and_one_that_is_not_a_number_has_none():
    statistics = some_statistics()
    assert 1 < outlier_score(np.zeros(FEATURES, np.float32), statistics) < np.inf
    assert np.isnan(outlier_score(np.full(FEATURES, np.nan, np.float32), statistics))


def test_statistics_are_read_as_they_were_written(tmp_path):
    statistics = some_statistics()
    for name, tensor in vars(read_outlier_statistics(write_statistics(tmp_path, statistics))).items():
        assert np.array_equal(tensor, getattr(statistics, name))


@pytest.mark.parametrize(
    "changes",
    [
        {"means": np.zeros((3, FEATURES + 1), np.float32)},
        {"components": np.zeros((2, FEATURES - 1), np.float32)},
        {"variances": np.zeros(3, np.float32)},
        {"noise_variance": np.zeros(2, np.float32)},
        {"mean_film": np.zeros((4, 5), np.float32)},
        {"means": np.zeros((3, FEATURES))},
        {"another": np.zeros(1, np.float32)},
    ],
)
def test_statistics_of_other_shapes_are_refused(tmp_path, changes):
    with pytest.raises(ManifestInvalid, match=f"embeddings of {FEATURES} features"):
        read_outlier_statistics(write_statistics(tmp_path, some_statistics(), **changes))


def test_a_file_without_tensors_is_refused(tmp_path):
    bundle = write_statistics(tmp_path, some_statistics())
    (tmp_path / OUTLIERS_NAME).write_bytes(b"no tensors")
    with pytest.raises(ManifestInvalid, match="holds no tensors"):
        read_outlier_statistics(bundle)


def test_the_bundles_file_is_small(bundle):
    assert sum(tensor.nbytes for tensor in load_file(bundle.file(OUTLIERS_NAME)).values()) < 500_000
