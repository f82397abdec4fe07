"""`cxr check`, which `bentoml serve` runs before it starts a worker."""

import json
import os
import shutil

import numpy as np
import pytest

from service.access.keys import KeyStore
from service.access.roles import Role
from service.commands.cxr import main
from service.model.bundle import ModelBundle
from service.model.errors import GoldenMismatch
from service.model.manifest import HEAD_NAME, MANIFEST_NAME
from service.records.store import RecordStore
from tests.support.manifests import copy_bundle
from tests.support.server.serving import failed_start
from tests.support.site_profiles import make_profile, site_head


@pytest.fixture
def check(monkeypatch, capsys, bundle_path, tmp_path):
    """Runs it with these options and settings; exit status, what was found and what was said of faults."""
    for name in [name for name in os.environ if name.startswith("CXR_")]:
        monkeypatch.delenv(name)

    def run(*options, **settings):
        defaults = {"CXR_BUNDLE": bundle_path, "CXR_DATABASE_URL": f"sqlite:///{tmp_path}/records.db"}
        for name, value in (defaults | settings).items():
            monkeypatch.setenv(name, str(value))
        return main(["check", *options]), *capsys.readouterr()

    return run


def test_it_says_what_it_checked_and_what_it_found_and_changes_nothing(check, bundle, tmp_path):
    expected = [
        "settings: CXR_BUNDLE, CXR_DATABASE_URL",
        f"bundle: {bundle.path}, {bundle.manifest.name} {bundle.manifest.version}; its files are whole and its golden inputs "
        "give the recorded outputs",
        f"database: sqlite:///{tmp_path}/records.db",
        "The next start creates or upgrades its tables.",
        "access: open to everybody who reaches the address",
    ]
    status, found, faults = check()
    assert (status, found.splitlines(), faults) == (0, expected, "")
    assert list(tmp_path.iterdir()) == []
    assert (check("--at-start")[0], (tmp_path / "records.db").exists()) == (0, True)
    assert check()[1].splitlines() == [*expected[:3], *expected[4:]]
    assert check(CXR_DATABASE_UPGRADE="false", CXR_DATABASE_URL=f"sqlite:///{tmp_path}/other.db")[0] == 1


def test_asking_for_keys_creates_no_database(check, tmp_path):
    assert check(CXR_AUTH="keys")[1].endswith("access: API keys\n")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_no_start_could_create_is_a_fault(check, tmp_path):
    (tmp_path / "text").write_text("text")
    status, _, faults = check(CXR_DATABASE_URL=f"sqlite:///{tmp_path}/text/records.db")
    assert (status, faults.count("\n")) == (1, 1)
    assert "cannot be written" in faults
    assert check(CXR_DATABASE_URL=f"sqlite:///{tmp_path}/new/records.db")[0] == 0
    assert not (tmp_path / "new").exists()


def test_golden_inputs_are_replayed(check, monkeypatch):
    def wrong(*_):
        raise GoldenMismatch("other numbers.")

    monkeypatch.setattr("service.model.predictor.Predictor.replay_golden", wrong)
    assert check()[2] == "other numbers. No model is served.\n"


def test_a_site_profile_is_replayed_even_at_a_start(check, bundle, tmp_path):
    profile = make_profile(bundle, tmp_path / "sites", head=site_head(bundle.manifest.head.features))
    expected = f"site: {profile.path}, mercy 1; its files are whole and its golden inputs give the recorded outputs"
    for options in ((), ("--at-start",)):
        status, found, faults = check(*options, CXR_SITE=profile.path)
        assert (status, faults) == (0, "")
        assert found.splitlines()[2] == expected
    wrong = make_profile(bundle, tmp_path / "sites", version=2, golden=np.full((6, 3), 1 / 3, np.float32))
    for options in ((), ("--at-start",)):
        status, _, faults = check(*options, CXR_SITE=wrong.path)
        assert (status, faults.count("\n")) == (1, 1)
        assert f"{wrong.path}/golden.npz: probabilities differs" in faults


def test_a_site_profile_of_another_bundle_ends_it_whatever_other_bundles_there_are(check, bundle, tmp_path):
    newer = copy_bundle(bundle.path, tmp_path, "1.1.0")
    copy_bundle(bundle.path, tmp_path, "1.0.0")
    profile = make_profile(bundle, tmp_path / "sites")
    status, _, faults = check("--at-start", CXR_BUNDLE=newer, CXR_SITE=profile.path)
    assert (status, faults.count("\n")) == (1, 1)
    assert f"The site profile at {profile.path} belongs to chest-xray 1.0.0" in faults


def test_an_older_bundle_is_told_with_the_profile_that_will_be_applied_to_it(check, bundle, tmp_path):
    newer, older = (ModelBundle.open(copy_bundle(bundle.path, tmp_path, version)) for version in ("1.1.0", "1.0.0"))
    make_profile(older, tmp_path / "sites")
    chosen = make_profile(newer, tmp_path / "sites", version=2)
    (newer.path / HEAD_NAME).write_bytes(b"other weights")
    status, found, faults = check(CXR_BUNDLE=newer.path, CXR_SITE=chosen.path)
    assert status == 0
    assert f"site: {tmp_path}/sites/mercy-1, mercy 1" in found
    assert "An older bundle serves instead." in faults


def test_it_says_who_may_call_and_no_secret(check, tmp_path):
    records = RecordStore(f"sqlite:///{tmp_path}/records.db")
    records.open()
    keys = KeyStore(records.database)
    assert "access: 0 API keys (create one: " in check(CXR_AUTH="keys")[1]
    for name in ("a", "b", "c"):
        keys.create(name, Role.CLINICIAN)
    keys.revoke(keys.every()[0].key_id)
    records.close()
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [PUBLIC_KEY]}))
    tokens = {"CXR_JWKS": tmp_path / "jwks.json", "CXR_TOKEN_ISSUER": "https://id.example", "CXR_TOKEN_AUDIENCE": "cxr"}
    found = check(CXR_AUTH="keys_and_tokens", CXR_AUDIT_SECRET="a secret of sixteen", **tokens)[1]
    assert "access: 2 API keys and bearer tokens of https://id.example\n" in found
    assert "sixteen" not in found


# Of Ed25519, RFC 8037, appendix A.2.
PUBLIC_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"CXR_BUNDLE": "{folder}/absent"}, "No bundle folder at {folder}/absent"),
        ({"CXR_BUNDLE": "{folder}"}, "No bundle at {folder}: it must be a folder with a manifest.json"),
        ({"CXR_BUNDLE": "chest-xray:99.9.9"}, "neither a folder nor in BentoML's model store"),
        ({"CXR_SITE": "{folder}/absent"}, "No site profile at {folder}/absent: it must be a folder with a profile.json"),
        ({"CXR_SITE": ""}, "CXR_SITE is '', but must be a folder; set none"),
        ({"CXR_DATABASE_URL": "sqlite:///{folder}"}, "cannot be written"),
        ({"CXR_DATABASE_URL": "sqlite:///{folder}/text/records.db"}, "cannot be written"),
        ({"CXR_DATABASE_URL": "sqlite:///{folder}/text"}, "is no SQLite database"),
        ({"CXR_DATABASE_URL": "postgresql+asyncpg://host/records"}, "names 'postgresql+asyncpg'"),
        ({"CXR_DATABASE_URL": "postgresql://user:hunter2@host:port/records"}, "is no database URL"),
        ({"CXR_DATABASE_URL": "postgresql://user:hunter2@[::1/records"}, "is no database URL"),
        ({"CXR_DATABASE_URL": ""}, "is no database URL"),
        ({"CXR_JWKS": "{folder}/absent.json"}, "cannot be read: No such file or directory"),
        ({"CXR_JWKS": "{folder}"}, "cannot be read: Is a directory"),
        ({"CXR_JWKS": "{folder}/text"}, "is not a JSON Web Key Set"),
        ({"CXR_JWKS": "http://id.example/keys"}, "a file or an https URL"),
        ({"CXR_JWKS": "https://[id.example/keys"}, "a file or an https URL"),
        ({"CXR_RATE_LIMIT_STORAGE": "redis://host:port/0"}, "nor the URL of a Redis server"),
        ({"CXR_RATE_LIMIT_STORAGE": "redis://[::1/0"}, "nor the URL of a Redis server"),
        ({"CXR_RATE_LIMIT": "fast"}, "a rate such as 100/minute"),
        ({"CXR_MAX_HELD_BYTES": "1000"}, "below CXR_MAX_BATCH_BYTES"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(map("=".join, value.items())),
)
def test_what_cannot_work_ends_it_with_one_line(check, tmp_path, settings, complaint):
    (tmp_path / "text").write_text("text")
    if "CXR_JWKS" in settings:
        settings = settings | {"CXR_AUTH": "tokens", "CXR_TOKEN_ISSUER": "issuer", "CXR_TOKEN_AUDIENCE": "cxr"}
    status, _, faults = check("--at-start", **{name: value.format(folder=tmp_path) for name, value in settings.items()})
    assert status == 1
    assert complaint.format(folder=tmp_path) in faults
    assert faults.count("\n") == 1
    assert "hunter2" not in faults


def test_a_damaged_bundle_is_told_and_hinders_no_start(check, bundle, tmp_path):
    damaged = shutil.copytree(bundle.path, tmp_path / "chest-xray-1.1.0")
    (damaged / HEAD_NAME).write_bytes(b"other weights")
    status, found, faults = check(CXR_BUNDLE=damaged)
    assert (status, faults.count("\n")) == (0, 1)
    assert "bundle: none that can be trusted\n" in found
    assert faults.endswith("No model is served.\n")
    shutil.copytree(bundle.path, tmp_path / "chest-xray-1.0.0")
    status, found, faults = check(CXR_BUNDLE=damaged)
    assert f"bundle: {tmp_path}/chest-xray-1.0.0, " in found
    assert faults.endswith("An older bundle serves instead.\n")
    (damaged / MANIFEST_NAME).unlink()
    assert f"bundle: {tmp_path}/chest-xray-1.0.0, " in check(CXR_BUNDLE=damaged)[1]


def test_a_database_that_is_away_is_told_and_hinders_no_start(check):
    status, found, faults = check(CXR_DATABASE_URL="postgresql://user:hunter2@127.0.0.1:1/records")
    assert (status, faults.count("\n")) == (0, 1)
    assert "database: postgresql+psycopg://user:***@127.0.0.1:1/records\n" in found
    assert "until then the service is not ready: connection failed: " in faults


@pytest.mark.slow
def test_a_server_without_its_bundle_ends_with_one_line(tmp_path):
    status, output = failed_start(os.environ | {"CXR_BUNDLE": str(tmp_path / "absent")})
    assert status == 1
    assert f"No bundle folder at {tmp_path}/absent" in output.splitlines()[-1]
    assert "Traceback" not in output
