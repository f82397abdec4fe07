"""A film is counted in the bins of the reference once it is answered; the reference shares are published at start."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from prometheus_client import REGISTRY
from safetensors.numpy import load_file

from service.drift import DriftCounter
from service.film.limits import DecodeLimits
from service.metrics import MODEL_LABELS
from service.model.bundle import ModelBundle
from service.model.drift_reference import (
    COMPONENT_FEATURES,
    NUMERIC_FEATURES,
    DriftReference,
    NumericReference,
    component_values,
)
from service.model.errors import ManifestInvalid
from service.model.findings import FINDINGS
from service.model.manifest import DRIFT_REFERENCE_NAME, OUTLIERS_NAME
from service.model.model import Model
from service.pipeline import Pipeline
from tests.support.encoded_films import encode, film
from tests.support.manifests import copy_bundle, make_manifest
from tests.support.site_profiles import make_profile

VERSION = "9.9.9"


def counts(name="cxr_drift_bin_total", version=VERSION, site="") -> dict[tuple[str, ...], float]:
    """Labels but those of the model -> value."""
    samples = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name == name]
    return {
        tuple(value for label, value in sorted(sample.labels.items()) if label not in MODEL_LABELS): sample.value
        for sample in samples
        if (sample.labels["version"], sample.labels["site"]) == (version, site)
    }


def counted_by(act, name="cxr_drift_bin_total", version=VERSION, site=""):
    before = counts(name, version, site)
    act()
    return Counter({labels: value - before.get(labels, 0) for labels, value in counts(name, version, site).items()})


@pytest.fixture(scope="module")
def reference(bundle):
    return DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_bytes())


@pytest.fixture(scope="module")
def components(bundle):
    return load_file(bundle.file(OUTLIERS_NAME))["components"]


@pytest.fixture
def counter(reference, components):
    return DriftCounter(reference, components, (VERSION, ""))


@pytest.fixture
def image(reference):
    """Statistics of a film that lie within the reference."""
    return {name: numeric.minimum for name, numeric in reference.numeric.items()}


def test_every_bin_is_there_before_the_first_film_and_its_reference_share_with_it(counter, reference):
    published = {(label, feature): share for feature, label, share in reference.shares()}
    assert counts("cxr_drift_reference_share") == published
    assert set(counts()) == set(published)
    assert counts("cxr_drift_reference_films") == {(feature,): films for feature, films in reference.films().items()}
    assert set(counts("cxr_drift_out_of_range_total")) == {(name,) for name in (*NUMERIC_FEATURES, *COMPONENT_FEATURES)}


def test_a_film_counts_once_in_each_feature(counter, reference):
    image = {name: numeric.edges[0] if numeric.edges else 0.5 for name, numeric in reference.numeric.items()}
    embedding = np.ones(1280, np.float32)
    counted = counted_by(lambda: counter.count(image, (0.1, 0.7, 0.2), embedding))
    by_feature = Counter()
    for (_, feature), number in counted.items():
        by_feature[feature] += number
    assert by_feature == dict.fromkeys((*NUMERIC_FEATURES, *COMPONENT_FEATURES, "predicted_class"), 1)
    assert counted["Pneumonia", "predicted_class"] == 1
    # A value on an edge belongs to the bin above it, as in the reference.
    assert counted["1", "mean"] == 1
    assert counted[str(reference.numeric["confidence"].bin_of(0.7)), "confidence"] == 1


def test_counting_agrees_with_the_reference_about_every_bin(counter, reference, image):
    numeric = reference.numeric["sharpness"]
    values = np.random.default_rng(5).uniform(numeric.minimum - 5, numeric.maximum + 5, 200)
    counted = counted_by(lambda: [counter.count(image | {"sharpness": value}, (1, 0, 0), None) for value in values])
    expected = Counter(str(numeric.bin_of(value)) for value in values)
    assert {label: number for (label, feature), number in counted.items() if feature == "sharpness" and number} == expected


def test_a_value_that_no_reference_film_had_is_out_of_range(counter, reference, image):
    strange = image | {"resolution": reference.numeric["resolution"].maximum + 0.1}
    counted = counted_by(
        lambda: [counter.count(each, (1, 0, 0), None) for each in (image, strange)], "cxr_drift_out_of_range_total"
    )
    assert counted[("resolution",)] == 1 and counted[("mean",)] == 0


def test_components_are_counted_where_the_embedding_lies(counter, reference, components, image):
    embedding = np.random.default_rng(6).random(1280).astype(np.float32)
    counted = counted_by(lambda: counter.count(image, (1, 0, 0), embedding))
    for name, value in component_values(embedding, components).items():
        assert counted[str(reference.numeric[name].bin_of(value)), name] == 1


def test_a_bundle_without_a_reference_is_served_and_counts_nothing(bundle):
    manifest = make_manifest(version="0.0.1")
    assert DriftCounter.from_bundle(ModelBundle(bundle.path, manifest), None) is None
    pipeline = Pipeline(Model.from_bundle(bundle), DecodeLimits())
    pipeline.count(replace(pipeline.predict(encode(film(), "PNG"), "balanced"), model_version="0.0.1"))
    assert counts(version="0.0.1") == {}


def test_a_film_is_counted_when_the_pipeline_is_told_that_it_was_answered_and_not_before(bundle):
    model = Model.from_bundle(bundle)
    drift = DriftCounter.from_bundle(bundle, model.observer.statistics.components)
    pipeline = Pipeline(model, DecodeLimits(), drift=drift)
    version = bundle.manifest.version
    before = counts(version=version)
    prediction = pipeline.predict(encode(film(), "PNG"), "balanced")
    assert counts(version=version) == before
    counted = counted_by(lambda: pipeline.count(prediction), version=version)
    most_probable = max(FINDINGS, key=prediction.probabilities.__getitem__)
    assert counted[most_probable.value, "predicted_class"] == 1
    assert sum(counted.values()) == len(NUMERIC_FEATURES) + len(COMPONENT_FEATURES) + 1


def test_a_film_that_a_site_profile_judged_is_counted_with_the_profile_in_the_bins_of_its_own_reference(bundle, tmp_path):
    reference = DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_bytes())
    coarse = NumericReference(edges=(0.5,), shares=(0.25, 0.75), minimum=0.0, maximum=1.0, films=80)
    own = reference.model_copy(update={"numeric": reference.numeric | {"mean": coarse}})
    profile = make_profile(bundle, tmp_path, version=2, drift_reference=own)
    model = Model.from_bundle(bundle, profile=profile)
    pipeline = Pipeline(
        model, DecodeLimits(), drift=DriftCounter.from_bundle(bundle, model.observer.statistics.components, profile)
    )
    prediction = pipeline.predict(encode(film(), "PNG"), "balanced")
    released = counts(version=bundle.manifest.version)
    counted = counted_by(lambda: pipeline.count(prediction), version=bundle.manifest.version, site="mercy-2")
    assert sum(number for (_, feature), number in counted.items() if feature == "mean") == 1
    assert {label for label, feature in counted if feature == "mean"} == {"0", "1"}
    assert counts(version=bundle.manifest.version) == released


@pytest.mark.parametrize("damage", ["text", "more components than the bundle has"])
def test_a_reference_that_cannot_be_used_is_a_fault_of_the_bundle(bundle, components, tmp_path, damage):
    folder = shutil.copytree(bundle.path, tmp_path / "bundle")
    if damage == "text":
        (folder / DRIFT_REFERENCE_NAME).write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(ManifestInvalid, match="export the model again"):
        DriftCounter.from_bundle(ModelBundle(folder, bundle.manifest), components[:2])


# Enough that chance alone leaves the index of bins of a quarter each well below the 0.2 that alerts call drift.
SITE_FILMS = 60


def site_films(seeds):
    """Films of a scanner that the bundle's phantoms do not come from: dark, flat, smooth and wide."""
    for seed in seeds:
        sharp = film(160, seed)
        smooth = cv2.GaussianBlur(cv2.resize(sharp, (200, 160)), (0, 0), 2)
        yield encode((smooth // 3 + 20 + seed % 8).astype(np.uint8), "PNG")


def reference_of(predictions, components):
    """As commissioning makes it of a site's own films."""
    values = [
        {
            **prediction.observed.image,
            "confidence": max(prediction.probabilities.values()),
            **component_values(prediction.embedding, components),
        }
        for prediction in predictions
    ]
    called = [max(FINDINGS, key=prediction.probabilities.__getitem__) for prediction in predictions]
    numeric = {
        name: NumericReference.from_values(np.array([each[name] for each in values]), bins=4)
        for name in (*NUMERIC_FEATURES, *COMPONENT_FEATURES)
    }
    return DriftReference(numeric=numeric, predicted_class={name: called.count(name) / len(called) for name in FINDINGS})


def stability(counted, shares):
    """Population stability index of each feature that has bins, from counts and shares by (label, feature)."""
    index = Counter()
    for (label, feature), share in shares.items():
        total = sum(number for (_, other), number in counted.items() if other == feature)
        actual, expected = max(counted[label, feature] / total, 1e-4), max(share, 1e-4)
        index[feature] += (actual - expected) * np.log(actual / expected)
    return index


def test_films_like_the_sites_drift_from_the_bundles_reference_and_not_from_the_sites_own(bundle_path, components, tmp_path):
    # Versions of their own: the series of the other tests hold other counts.
    alone, commissioned = (ModelBundle.open(copy_bundle(bundle_path, tmp_path, version)) for version in ("7.0.0", "7.0.1"))
    model = Model.from_bundle(commissioned)
    reference = reference_of([model.predict(data) for data in site_films(range(SITE_FILMS))], components)
    profile = make_profile(commissioned, tmp_path / "sites", drift_reference=reference)
    later = list(site_films(range(SITE_FILMS, 2 * SITE_FILMS)))
    indexes = {}
    for bundle, applied in ((alone, None), (commissioned, profile)):
        drift = DriftCounter.from_bundle(bundle, components, applied)
        served = Pipeline(Model.from_bundle(bundle, profile=applied), DecodeLimits(), drift=drift)
        for data in later:
            served.count(served.predict(data, "balanced"))
        version = bundle.manifest.version
        site = "" if applied is None else "mercy-1"
        counted = Counter(counts(version=version, site=site))
        indexes[version] = stability(counted, counts("cxr_drift_reference_share", version, site))
    for feature in ("mean", "contrast", "sharpness", "component_1"):
        assert indexes["7.0.0"][feature] > 1
        assert indexes["7.0.1"][feature] < 0.2
    assert max(indexes["7.0.1"].values()) < 0.3


def test_a_profile_without_a_reference_leaves_drift_to_the_bundles(bundle_path, components, tmp_path, reference):
    bundle = ModelBundle.open(copy_bundle(bundle_path, tmp_path, "7.0.2"))
    DriftCounter.from_bundle(bundle, components, make_profile(bundle, tmp_path / "sites"))
    published = {(label, feature): share for feature, label, share in reference.shares()}
    assert counts("cxr_drift_reference_share", "7.0.2", "mercy-1") == published
