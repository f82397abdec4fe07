import json
import shutil

import pytest

from export import registry
from service.contract.manifest import HEAD_NAME, MANIFEST_NAME
from service.loading import SERVING_NAME, candidates

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0")


@pytest.fixture
def models(tmp_path, bundle_path):
    for version in VERSIONS:
        path = tmp_path / f"chest-xray-{version}"
        shutil.copytree(bundle_path, path)
        manifest = json.loads((path / MANIFEST_NAME).read_text("utf-8"))
        metrics = {"headline": {"macro_auc": 0.98, "accuracy": 0.9}}
        (path / MANIFEST_NAME).write_text(json.dumps(manifest | {"version": version, "test_metrics": metrics}), "utf-8")
    (tmp_path / "lung-fields-1.0.0").mkdir()  # a release of another kind
    (tmp_path / registry.CHANGELOG_NAME).write_text("# Models\n\nWhat versions mean.\n\n## chest-xray 2.0.0\n\nThe last one.\n")
    return tmp_path


def run(models, *arguments):
    return registry.main(["--models", str(models), *arguments])


def serving(models):
    return [path.name.rpartition("-")[2] for path in candidates(None, models)]


def test_a_promoted_release_serves_and_the_one_before_stays_ready(models, capsys):
    assert run(models, "promote", "1.1.0", "--note", "Fewer false alarms in the night.") == 0
    assert serving(models)[:2] == ["1.1.0", "2.0.0"]
    changelog = (models / registry.CHANGELOG_NAME).read_text("utf-8")
    assert changelog.startswith("# Models\n\nWhat versions mean.\n\n## Promoted to chest-xray-1.1.0 (")
    assert "chest-xray-2.0.0 served before. Test split: macro AUC 0.980, accuracy 0.900.\nFewer false alarms" in changelog
    assert changelog.endswith("## chest-xray 2.0.0\n\nThe last one.\n")
    assert "POST /model/reload" in capsys.readouterr().out


def test_rolling_back_goes_back_a_version_at_a_time(models):
    for version in ("1.1.0", "1.2.0"):
        run(models, "promote", version)
    assert run(models, "rollback") == 0
    assert serving(models)[0] == "1.1.0"
    assert run(models, "rollback") == 0
    assert serving(models)[0] == "2.0.0"
    assert (models / registry.CHANGELOG_NAME).read_text("utf-8").count("## Rolled back to") == 2


def test_only_so_many_versions_are_kept_to_go_back_to(models):
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        run(models, "promote", version, "--keep", "2")
    assert serving(models) == ["1.3.0", "1.2.0", "1.1.0"]
    run(models, "rollback")
    run(models, "rollback")
    assert run(models, "rollback") == 1


def test_what_cannot_be_trusted_is_not_promoted(models, capsys):
    (models / "chest-xray-1.1.0" / HEAD_NAME).write_bytes(b"other weights")
    assert run(models, "promote", "1.1.0") == 1
    assert not (models / SERVING_NAME).exists()
    assert "SHA-256" in capsys.readouterr().err


def test_why_nothing_changes_is_written_down_too(models):
    assert run(models, "note", "The challenger was no better.") == 0
    assert serving(models)[0] == "2.0.0" and not (models / SERVING_NAME).exists()
    changelog = (models / registry.CHANGELOG_NAME).read_text("utf-8")
    assert "## Kept chest-xray-2.0.0 (" in changelog and "The challenger was no better." in changelog


@pytest.mark.parametrize("version", ["9.9.9", "lung-fields-1.0.0", ""])
def test_what_is_no_release_is_not_promoted(models, version, capsys):
    assert run(models, "promote", version) == 1
    assert "registry list" in capsys.readouterr().err


def test_what_serves_is_not_promoted_again(models):
    assert run(models, "promote", "1.1.0") == 0
    assert run(models, "promote", "1.1.0") == 1


def test_the_list_says_which_release_serves_and_which_cannot_be_trusted(models, capsys):
    run(models, "promote", "1.2.0")
    (models / "chest-xray-1.0.0" / HEAD_NAME).write_bytes(b"other weights")
    capsys.readouterr()
    assert run(models, "list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["chest-xray-1.2.0"].endswith("serving")
    assert lines["chest-xray-2.0.0"].endswith("previous")
    assert "0.980" in lines["chest-xray-1.2.0"]
    assert "HashMismatch" in lines["chest-xray-1.0.0"]
    assert "lung-fields-1.0.0" not in lines
