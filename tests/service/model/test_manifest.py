import pytest
from pydantic import ValidationError

from service.model.manifest import HEAD_NAME, MANIFEST_NAME, OUTLIERS_NAME, Bounds
from tests.support.manifests import make_manifest, manifest_members

OUTLIERS = {"threshold": 3, "image_bounds": {"mean": {"low": 60}}, "films": 100, "flagged_share": 0.01}
WITH_OUTLIERS_FILE = manifest_members()["files"] | {OUTLIERS_NAME: "0" * 64}


def test_a_manifest_with_one_conformal_quantile_has_it_for_every_finding():
    conformal = make_manifest(conformal={"coverage": 0.9, "quantile": 0.4}).conformal
    assert conformal.quantiles == {"Normal": 0.4, "Pneumonia": 0.4, "Tuberculosis": 0.4}
    assert not conformal.is_per_class
    own = make_manifest(conformal={"coverage": 0.9, "quantiles": conformal.quantiles | {"Pneumonia": 0.6}}).conformal
    assert own.is_per_class


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"unknown": 1},
        {"findings": ["Pneumonia", "Normal", "Tuberculosis"]},
        {"findings": ["Normal", "Pneumonia"]},
        {"operating_points": {"tb_screening": {"description": ""}}},
        {"operating_points": {"balanced": {"description": "", "thresholds": {"Normal": 0.5}}}},
        {"operating_points": {"balanced": {"description": "", "thresholds": {"Pneumonia": 1.0}}}},
        {"conformal": {"coverage": 0.9, "quantiles": {"Normal": 0.4}}},
        {"conformal": {"coverage": 0.9, "quantiles": {"Normal": 0.4, "Pneumonia": 0.5, "Tuberculosis": 1.1}}},
        {"conformal": {"coverage": 0.9, "quantile": 0.4, "quantiles": {"Normal": 0.4}}},
        {"files": {HEAD_NAME: "0" * 64}},
        {"files": manifest_members()["files"] | {"../outside": "0" * 64}},
        {"files": manifest_members()["files"] | {MANIFEST_NAME: "0" * 64}},
        {"outliers": OUTLIERS},
        {"outliers": OUTLIERS | {"threshold": 0}, "files": WITH_OUTLIERS_FILE},
        {"outliers": OUTLIERS | {"method": "another"}, "files": WITH_OUTLIERS_FILE},
        {"outliers": OUTLIERS | {"image_bounds": {"colour": {"high": 8}}}, "files": WITH_OUTLIERS_FILE},
        {"outliers": OUTLIERS | {"image_bounds": {"mean": {"low": 8, "high": 7}}}, "files": WITH_OUTLIERS_FILE},
        {"temperature": 0},
        {"version": "v1"},
        {"name": "Chest X-ray"},
    ],
)
def test_a_manifest_that_this_code_cannot_trust_is_refused(change):
    with pytest.raises(ValidationError):
        make_manifest(**change)


def test_statistics_of_outliers_are_optional_and_need_their_file():
    assert make_manifest().outliers is None
    assert make_manifest(outliers=OUTLIERS, files=WITH_OUTLIERS_FILE).outliers.threshold == 3


@pytest.mark.parametrize(("low", "high"), [(None, None), (1, None), (None, 2), (1, 2)])
def test_bounds_hold_what_lies_within_them_and_their_ends(low, high):
    bounds = Bounds(low=low, high=high)
    assert bounds.hold(1) and bounds.hold(2) and not bounds.hold(float("nan"))
    assert bounds.hold(0.99) is (low is None)
    assert bounds.hold(2.01) is (high is None)


def test_a_manifest_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        make_manifest().temperature = 2.0
