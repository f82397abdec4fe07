"""A profile is verified as a whole, belongs to one bundle, and changes only what it holds."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from service.model.bundle import ModelBundle
from service.model.drift_reference import DriftReference
from service.model.errors import ProfileInvalid, ProfileMismatch, ProfileNotFound
from service.model.manifest import DRIFT_REFERENCE_NAME, GRAPH_NAME, MODEL_CARD_NAME, OperatingPoint, ReviewSpec
from service.model.site_profile import PROFILE_NAME, SITE_GOLDEN_NAME, SITE_HEAD_NAME, SiteProfile, files_sha256
from service.model.site_profile.profile import BundleIdentity
from tests.support.manifests import copy_bundle
from tests.support.site_profiles import make_profile, rewrite, site_head

FEATURES = 1280


@pytest.fixture(scope="module")
def made(bundle, tmp_path_factory):
    reference = DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_bytes())
    return make_profile(bundle, tmp_path_factory.mktemp("sites"), head=site_head(FEATURES), drift_reference=reference)


@pytest.fixture
def profile(made, tmp_path):
    """A copy that a test may change."""
    return SiteProfile.open(shutil.copytree(made.path, tmp_path / made.path.name))


def alter(profile, change):
    members = json.loads(profile.file(PROFILE_NAME).read_text("utf-8"))
    change(members)
    profile.file(PROFILE_NAME).write_text(json.dumps(members), "utf-8")


def tensors(**changes):
    return {name: values for name, values in (vars(site_head(FEATURES)) | changes).items() if values is not None}


def archive(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_an_intact_profile_opens_and_fits_its_bundle(profile, bundle):
    assert profile.site.members() == {"name": "mercy", "version": 1}
    assert {name: values.tolist() for name, values in vars(profile.head).items()} == {
        name: values.tolist() for name, values in vars(site_head(FEATURES)).items()
    }
    assert profile.golden_probabilities().shape == (6, 3)
    assert profile.drift_reference().films()
    profile.require_bundle(bundle)


def test_no_folder_no_profile_or_no_right_to_read_is_named(profile, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path, profile.file(PROFILE_NAME)):
        with pytest.raises(ProfileNotFound, match=f"{path}: .*{PROFILE_NAME}"):
            SiteProfile.open(path)
    profile.file(SITE_HEAD_NAME).unlink()
    profile.file(SITE_HEAD_NAME).symlink_to("/proc/self/mem")  # a file that is there, and that nobody can read from its start
    with pytest.raises(ProfileNotFound, match="cannot be read"):
        SiteProfile.open(profile.path)


@pytest.mark.parametrize("name", [SITE_HEAD_NAME, SITE_GOLDEN_NAME, DRIFT_REFERENCE_NAME])
def test_a_changed_and_a_missing_file_are_named(profile, name):
    whole = profile.file(name).read_bytes()
    profile.file(name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ProfileInvalid, match=f"{profile.file(name)} has SHA-256"):
        SiteProfile.open(profile.path)
    profile.file(name).unlink()
    with pytest.raises(ProfileInvalid, match=f"{profile.file(name)} is named in {PROFILE_NAME} but missing"):
        SiteProfile.open(profile.path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda members: members.update(threshold=0.5), "threshold"),
        (lambda members: members.update(schema_version=2), "schema_version"),
        (lambda members: members.update(name="Mercy General"), "name"),
        (lambda members: members.update(name="../mercy"), "name"),
        (lambda members: members.update(name="m" * 41), "name"),
        (lambda members: members.update(version=0), "version"),
        (lambda members: members.update(version="1.0.0"), "version"),
        (lambda members: members.pop("verified"), "verified"),
        (lambda members: members["bundle"].pop("files_sha256"), "files_sha256"),
        (lambda members: members.update(head=False), "head is False, but head.safetensors is among the files"),
        (lambda members: members["files"].pop(SITE_HEAD_NAME), "head is True, but head.safetensors is not among the files"),
        (lambda members: members["files"].pop(SITE_GOLDEN_NAME), "files lacks golden.npz"),
        (lambda members: members["files"].update({"../other": "0" * 64}), "plain name"),
        (lambda members: members["files"].update({PROFILE_NAME: "0" * 64}), "plain name"),
        (lambda members: members.update(review={"low_confidence_below": 2}), "low_confidence_below"),
        (lambda members: members.update(figures={"after": {"auc": float("nan")}}), "NaN is no number of JSON"),
        (lambda members: members.update(figures={"after": 5}), "figures.after"),
        (lambda members: members.update(figures={"after": {"accuracy": "0.9"}}), "accuracy .* is '0.9', not a share"),
        (lambda members: members.update(figures={"after": {"accuracy": 1.5}}), "accuracy .* is 1.5, not a share"),
    ],
)
def test_what_is_wrong_in_profile_json_is_named(profile, change, named):
    alter(profile, change)
    with pytest.raises(ProfileInvalid, match=f"(?s){profile.file(PROFILE_NAME)} is not a valid site profile.*{named}"):
        SiteProfile.open(profile.path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xe9"])
def test_a_profile_json_that_is_none_is_named(profile, text):
    profile.file(PROFILE_NAME).write_bytes(text)
    with pytest.raises(ProfileInvalid, match=PROFILE_NAME):
        SiteProfile.open(profile.path)


@pytest.mark.parametrize(
    "content",
    [
        b"no tensors",
        save(tensors(weights=np.zeros((2, FEATURES), np.float32))),
        save(tensors(weights=np.zeros(FEATURES, np.float32))),
        save(tensors(bias=np.zeros(2, np.float32))),
        save(tensors(scale=np.zeros((1, 1), np.float32))),
        save(tensors(scale=np.ones(1, np.float64))),
        save(tensors(bias=None)),
        save(tensors(other=np.zeros(1, np.float32))),
        save(tensors(weights=np.full((3, FEATURES), np.nan, np.float32))),
        save(tensors(scale=np.full(1, np.inf, np.float32))),
    ],
)
def test_a_head_of_another_shape_or_without_finite_numbers_is_refused(profile, content):
    rewrite(profile, head=content)
    with pytest.raises(ProfileInvalid, match=f"{profile.file(SITE_HEAD_NAME)} (must )?hold.*commission the site again"):
        SiteProfile.open(profile.path)


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        b"",
        archive(images=np.zeros((6, 3), np.float32)),
        archive(probabilities=np.zeros((6, 2), np.float32)),
        archive(probabilities=np.zeros((6, 3))),
    ],
)
def test_golden_answers_of_another_kind_are_refused(profile, content):
    rewrite(profile, golden=content)
    with pytest.raises(ProfileInvalid, match=str(profile.file(SITE_GOLDEN_NAME))):
        SiteProfile.open(profile.path)


def test_a_drift_reference_of_another_kind_is_refused(profile):
    rewrite(profile, drift_reference=b"{}")
    with pytest.raises(ProfileInvalid, match="not a valid drift reference"):
        SiteProfile.open(profile.path)


@pytest.mark.parametrize("file", ["model", "head", "golden", "outliers"])
def test_another_bundle_is_refused_whichever_answering_file_differs(profile, bundle_path, tmp_path, file):
    other = ModelBundle.open(copy_bundle(bundle_path, tmp_path, "1.0.0", **{file: b"other"}))
    with pytest.raises(ProfileMismatch, match=r"belongs to chest-xray 1\.0\.0 \(files \w+\), not to chest-xray 1\.0\.0"):
        profile.require_bundle(other)


@pytest.mark.parametrize(
    "change",
    [
        {"review": ReviewSpec(low_confidence_below=0.123)},
        {"temperature": 3.0},
        {"operating_points": {"balanced": OperatingPoint(description="Another rule.")}},
    ],
)
def test_a_bundle_whose_manifest_answers_otherwise_is_another_one(profile, bundle, change):
    changed = replace(bundle, manifest=bundle.manifest.model_copy(update=change))
    with pytest.raises(ProfileMismatch, match=r"belongs to chest-xray 1\.0\.0"):
        profile.require_bundle(changed)


def test_another_version_of_the_same_files_is_refused(profile, bundle_path, tmp_path):
    other = ModelBundle.open(copy_bundle(bundle_path, tmp_path, "1.0.1"))
    assert files_sha256(other) == profile.manifest.bundle.files_sha256
    with pytest.raises(ProfileMismatch, match=r"belongs to chest-xray 1\.0\.0 .* not to chest-xray 1\.0\.1"):
        profile.require_bundle(other)


def test_a_new_card_leaves_the_bundle_the_same(profile, bundle_path, tmp_path):
    carded = ModelBundle.open(copy_bundle(bundle_path, tmp_path, "1.0.0", **{MODEL_CARD_NAME.removesuffix(".md"): b"# Card"}))
    assert files_sha256(carded) == files_sha256(ModelBundle.open(bundle_path))
    profile.require_bundle(carded)
    assert len(files_sha256(carded)) == 64 and carded.manifest.files[GRAPH_NAME] != files_sha256(carded)


def test_what_does_not_fit_the_bundles_parts_is_named(profile, bundle):
    narrow = SiteProfile(profile.path, profile.manifest, site_head(64))
    with pytest.raises(ProfileMismatch, match="reads 64 features, the bundle has 1280"):
        narrow.require_bundle(bundle)
    points = {"balanced": {"description": "argmax"}, "other": {"description": "argmax"}}
    alter(profile, lambda members: members.update(operating_points=points))
    with pytest.raises(ProfileMismatch, match="its operating points are balanced, other, the bundle's balanced, high_"):
        SiteProfile.open(profile.path).require_bundle(bundle)


def test_a_bundle_without_statistics_takes_neither_threshold_nor_components(profile, bundle):
    bare = ModelBundle(bundle.path, bundle.manifest.model_copy(update={"outliers": None}))
    own = profile.manifest.model_copy(update={"bundle": BundleIdentity.of(bare)})
    profile = replace(profile, manifest=own)
    with pytest.raises(ProfileMismatch, match="components of the embedding"):
        profile.require_bundle(bare)
    bounded = profile.manifest.model_copy(update={"outliers": bundle.manifest.outliers})
    with pytest.raises(ProfileMismatch, match="threshold for outliers"):
        SiteProfile(profile.path, bounded, profile.head).require_bundle(bare)


def test_only_the_parts_that_the_profile_holds_replace_those_of_the_bundle(profile, bundle):
    assert profile.apply_to(bundle.manifest) == bundle.manifest
    conformal = {"coverage": 0.9, "quantiles": {"Normal": 0.8, "Pneumonia": 0.7, "Tuberculosis": 0.6}}
    outliers = bundle.manifest.outliers.model_dump() | {"threshold": 3.5}
    alter(profile, lambda members: members.update(conformal=conformal, outliers=outliers))
    applied = SiteProfile.open(profile.path).apply_to(bundle.manifest)
    changed = {name for name in vars(applied) if getattr(applied, name) != getattr(bundle.manifest, name)}
    assert changed == {"conformal", "outliers"}
    assert (applied.conformal.quantiles["Pneumonia"], applied.outliers.threshold) == (0.7, 3.5)


def test_versions_of_a_site_are_ordered_by_number_and_other_folders_passed_over(profile, tmp_path):
    for name in ("mercy-2", "mercy-10", "mercy-1-3", "mercy-old", "clinic-4"):
        shutil.copytree(profile.path, tmp_path / name)
    (tmp_path / "mercy-11").mkdir()
    (tmp_path / "current").symlink_to(profile.path)
    for path in (profile.path, tmp_path / "current"):
        names = [folder.name for folder in SiteProfile.open(path).versions()]
        assert names == ["mercy-10", "mercy-2", "mercy-1"]
