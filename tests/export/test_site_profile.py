"""A profile is written complete or not at all, and never over another."""

import json

import numpy as np
import pytest

from export.site_profile import golden_answers, write_profile
from service.model.bundle import sha256_of
from service.model.drift_reference import DriftReference
from service.model.errors import ProfileInvalid
from service.model.manifest import DRIFT_REFERENCE_NAME
from service.model.predictor import load_predictor
from service.model.site_profile import PROFILE_NAME, SITE_GOLDEN_NAME, SITE_HEAD_NAME, SiteProfile
from tests.support.site_profiles import make_profile, profile_members, site_head
from training.errors import ExportError

GOLDEN = np.full((6, 3), 1 / 3, np.float32)
NOTHING = {"head": None, "golden": GOLDEN, "drift_reference": None}


@pytest.fixture(scope="module")
def reference(bundle):
    return DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_bytes())


def test_a_profile_holds_what_it_was_given_and_the_hash_of_each_file(bundle, tmp_path, reference):
    head = site_head(bundle.manifest.head.features)
    written = make_profile(bundle, tmp_path / "sites", head=head, drift_reference=reference, warnings=["Look at the borders."])
    opened = SiteProfile.open(tmp_path / "sites" / "mercy-1")
    assert opened.manifest == written.manifest
    assert opened.manifest.warnings == ("Look at the borders.",)
    assert {name: values.tolist() for name, values in vars(opened.head).items()} == {
        name: values.tolist() for name, values in vars(head).items()
    }
    assert opened.drift_reference() == reference
    names = {SITE_GOLDEN_NAME, SITE_HEAD_NAME, DRIFT_REFERENCE_NAME}
    assert {path.name for path in opened.path.iterdir()} == {PROFILE_NAME, *names}
    assert opened.manifest.files == {name: sha256_of(opened.file(name)) for name in names}
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in opened.path.iterdir())


def test_golden_answers_are_those_that_a_start_replays(bundle, tmp_path):
    for version, head in ((1, None), (2, site_head(bundle.manifest.head.features))):
        load_predictor(bundle, profile=make_profile(bundle, tmp_path, head=head, version=version))
    assert not np.allclose(golden_answers(bundle, None), golden_answers(bundle, head), atol=0.01)


def test_a_profile_that_exists_stays_as_it_is(bundle, tmp_path):
    profile = make_profile(bundle, tmp_path)
    before = profile.file(PROFILE_NAME).read_bytes()
    with pytest.raises(ExportError, match=r"mercy-1 exists, .* raise the version"):
        make_profile(bundle, tmp_path, created_at="2027-01-01T00:00:00Z")
    assert profile.file(PROFILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"films": None}, "films"),
        ({"secret": 1}, "secret"),
        ({"version": 0}, "version"),
        ({"name": "Mercy"}, "name"),
    ],
)
def test_members_that_no_profile_has_leave_nothing_behind(bundle, tmp_path, changes, fault):
    with pytest.raises(ExportError, match=f"(?s)cannot have these members.*{fault}"):
        make_profile(bundle, tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_no_server_would_take_leave_nothing_behind(bundle, tmp_path):
    with pytest.raises(ProfileInvalid, match="float64"):
        write_profile(tmp_path / "mercy-1", profile_members(bundle), **NOTHING | {"golden": GOLDEN.astype(np.float64)})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_name_is_refused(bundle, tmp_path):
    with pytest.raises(ExportError, match="a folder named mercy-1"):
        write_profile(tmp_path / "mercy-2", profile_members(bundle), **NOTHING)


def test_no_path_of_the_machine_is_in_a_profile(bundle, tmp_path):
    profile = make_profile(bundle, tmp_path)
    text = profile.file(PROFILE_NAME).read_text("utf-8")
    assert str(tmp_path) not in text and str(bundle.path) not in text
    assert json.loads(text)["bundle"]["name"] == "chest-xray"
