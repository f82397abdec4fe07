import json
import os
import shutil
from pathlib import Path

import pytest

from export.registry import Registry
from service.commands.cxr import main
from service.model.bundle import ModelBundle
from service.model.manifest import GRAPH_NAME, HEAD_NAME, MANIFEST_NAME
from service.model.releases import STATE_NAME, LogEntry, candidates

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0")
CHANGELOG = "# Models\n\n## chest-xray 2.0.0\n\nThe last one.\n"


def linked_graph(source, target):
    """A copy, but of the graph, which no test writes to, a link."""
    return os.link(source, target) if Path(source).name == GRAPH_NAME else shutil.copy2(source, target)


def add_release(bundle_path, models, version):
    """The bundle under another version, with metrics."""
    path = models / f"chest-xray-{version}"
    shutil.copytree(bundle_path, path, copy_function=linked_graph)
    manifest = json.loads((path / MANIFEST_NAME).read_text("utf-8"))
    metrics = {"headline": {"macro_auc": 0.98, "accuracy": 0.9}}
    (path / MANIFEST_NAME).write_text(json.dumps(manifest | {"version": version, "test_metrics": metrics}), "utf-8")
    return path


@pytest.fixture
def models(tmp_path, bundle_path, monkeypatch):
    monkeypatch.delenv("CXR_BUNDLE", raising=False)
    for version in VERSIONS:
        add_release(bundle_path, tmp_path, version)
    (tmp_path / "lung-fields-1.0.0").mkdir()  # a release of another kind
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def run(models, *arguments):
    return main(["registry", "--models", str(models), *arguments])


def serving(models):
    return [each.bundle.name.rpartition("-")[2] for each in candidates(None, None, models)]


def listed(models, capsys):
    """Rows of the list by release, and the sentence below them."""
    capsys.readouterr()
    assert run(models, "list") == 0
    table, _, beneath = capsys.readouterr().out.partition("\n\n")
    return {line.split()[0]: line for line in table.splitlines()}, beneath.strip()


def test_a_promoted_release_serves_and_the_one_before_stays_ready(models, capsys):
    assert run(models, "promote", "1.1.0", "--note", "Fewer false alarms in the night.") == 0
    assert serving(models)[:2] == ["1.1.0", "2.0.0"]
    [entry] = Registry(models).log()
    note = "Test split: macro AUC 0.980, accuracy 0.900. Fewer false alarms in the night."
    assert entry == LogEntry(entry.at, "promoted", "chest-xray-1.1.0", "chest-xray-2.0.0", note)
    assert "POST /model/reload" in capsys.readouterr().out


def test_decisions_leave_tracked_files_as_they_are(models):
    """The next pull of a published release must not conflict with what one house decided."""
    before = {path.name for path in models.iterdir()}
    for command in (["promote", "1.1.0"], ["promote", "1.2.0"], ["rollback"], ["note", "The challenger was no better."]):
        assert run(models, *command) == 0
    assert (models / "CHANGELOG.md").read_text("utf-8") == CHANGELOG
    assert {path.name for path in models.iterdir()} - before == {STATE_NAME, ".registry.lock"}


def test_rolling_back_goes_back_a_version_at_a_time_as_far_as_versions_are_kept(models, capsys):
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        run(models, "promote", version)
    assert serving(models) == ["1.3.0", "1.2.0", "1.1.0", "1.0.0"]
    for version in ("1.2.0", "1.1.0", "1.0.0"):
        assert run(models, "rollback") == 0
        assert serving(models)[0] == version
    assert run(models, "rollback") == 1
    assert "No release was chosen before chest-xray-1.0.0" in capsys.readouterr().err
    assert [entry.event for entry in Registry(models).log()] == ["rolled back"] * 3 + ["promoted"] * 4


def test_rolling_back_before_the_first_choice_goes_back_from_the_newest_and_says_so(models, capsys):
    assert run(models, "rollback") == 0
    assert serving(models)[0] == "1.3.0"
    assert capsys.readouterr().out.endswith("\nNone was chosen before: the service loaded the newest.\n")


def other_weights(release):
    (release / HEAD_NAME).write_bytes(b"other weights")


def without(name):
    return lambda release: (release / name).unlink()


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (other_weights, HEAD_NAME),
        (without(GRAPH_NAME), GRAPH_NAME),
        (without(MANIFEST_NAME), MANIFEST_NAME),
    ],
)
def test_a_damaged_release_is_not_promoted_and_the_damage_is_named(models, capsys, harm, named):
    harm(models / "chest-xray-1.1.0")
    assert run(models, "promote", "1.1.0") == 1
    assert not (models / STATE_NAME).exists()
    said = capsys.readouterr().err
    assert said.startswith("chest-xray-1.1.0 is damaged;") and named in said
    rows, _ = listed(models, capsys)
    assert "damaged: " in rows["chest-xray-1.1.0"] and named in rows["chest-xray-1.1.0"]


@pytest.mark.parametrize(("harm", "problem"), [(other_weights, "damaged"), (shutil.rmtree, "missing")])
def test_rolling_back_to_a_release_that_cannot_serve_says_why_and_changes_nothing(models, capsys, harm, problem):
    run(models, "promote", "1.1.0")
    harm(models / "chest-xray-2.0.0")
    assert run(models, "rollback") == 1
    assert f"chest-xray-2.0.0 is {problem};" in capsys.readouterr().err
    assert serving(models)[0] == "1.1.0"


def test_a_reason_why_nothing_changes_is_logged_once(models):
    for _ in range(2):  # as by a retraining that was killed before it had noted its end
        assert run(models, "note", "The challenger was no better.") == 0
    assert serving(models)[0] == "2.0.0"
    [entry] = Registry(models).log()
    assert (entry.event, entry.release, entry.note) == ("kept", "chest-xray-2.0.0", "The challenger was no better.")
    shutil.copytree(models / "chest-xray-2.0.0", models / "chest-xray-2.1.0")
    assert serving(models)[0] == "2.1.0", "before the first choice, a note chooses nothing"


@pytest.mark.parametrize("version", ["9.9.9", "lung-fields-1.0.0", ""])
def test_an_unknown_release_is_not_promoted(models, version, capsys):
    assert run(models, "promote", version) == 1
    assert "registry list" in capsys.readouterr().err


def test_the_chosen_release_is_not_promoted_again(models, capsys):
    assert run(models, "promote", "1.1.0") == 0
    assert run(models, "promote", "1.1.0") == 1
    assert "chosen already" in capsys.readouterr().err
    other_weights(models / "chest-xray-1.1.0")
    assert run(models, "promote", "1.1.0") == 1
    assert "chest-xray-1.1.0 is damaged;" in capsys.readouterr().err


def test_the_list_marks_the_chosen_and_the_loaded_release(models, capsys):
    rows, beneath = listed(models, capsys)
    assert rows["chest-xray-2.0.0"].endswith("  loaded")
    assert "none is chosen" in beneath
    run(models, "promote", "1.2.0")
    rows, beneath = listed(models, capsys)
    assert rows["chest-xray-1.2.0"].endswith("chosen, loaded")
    assert rows["chest-xray-2.0.0"].endswith("previous")
    assert "0.980" in rows["chest-xray-1.2.0"]
    assert "lung-fields-1.0.0" not in rows
    assert beneath == "The service loads chest-xray-1.2.0."


def test_the_list_names_the_fallback_for_a_damaged_choice(models, capsys):
    run(models, "promote", "1.2.0")
    run(models, "promote", "1.1.0")
    other_weights(models / "chest-xray-1.1.0")
    shutil.rmtree(models / "chest-xray-1.2.0")
    rows, beneath = listed(models, capsys)
    assert "chosen, damaged: " in rows["chest-xray-1.1.0"] and HEAD_NAME in rows["chest-xray-1.1.0"]
    assert rows["chest-xray-1.2.0"].endswith("previous, missing")
    assert rows["chest-xray-2.0.0"].endswith("loaded, previous")
    assert beneath == "The service loads chest-xray-2.0.0, because chest-xray-1.1.0 cannot be loaded."


def test_the_list_says_that_no_release_can_be_loaded_or_that_a_setting_decides_instead(models, capsys, monkeypatch):
    for version in VERSIONS:
        other_weights(models / f"chest-xray-{version}")
    assert "refuses all films" in listed(models, capsys)[1]
    monkeypatch.setenv("CXR_BUNDLE", "/elsewhere/chest-xray-1.0.0")
    assert "CXR_BUNDLE is set here, to /elsewhere/chest-xray-1.0.0" in listed(models, capsys)[1]


@pytest.mark.parametrize("text", ["", "[]", '{"serving": "chest-xray-1.0.0", "previous": [], "log": [{"when": "today"}]}'])
def test_a_damaged_state_is_named_and_promoting_begins_anew(models, capsys, text):
    (models / STATE_NAME).write_text(text)
    assert run(models, "list") == 1
    assert "registry promote VERSION`" in capsys.readouterr().err
    assert run(models, "promote", "1.1.0") == 0
    assert serving(models)[0] == "1.1.0"
    assert (models / f"{STATE_NAME}.damaged").read_text() == text
    assert f"kept as {STATE_NAME}.damaged" in Registry(models).log()[0].note


@pytest.mark.parametrize("version", ["1.1.0", "9.9.9"])
def test_promoting_in_vain_leaves_a_damaged_state_where_it_is(models, capsys, version):
    (models / STATE_NAME).write_text('{"serving": "chest-xray-1.0.0", "previous": [], "log": [7]}')
    other_weights(models / "chest-xray-1.1.0")
    assert run(models, "promote", version) == 1
    assert serving(models) == ["1.0.0"]  # what its readable part says
    assert sorted(path.name for path in models.glob(f"{STATE_NAME}*")) == [STATE_NAME]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_only_read_can_list_and_learns_why_nothing_else_works(models, capsys):
    run(models, "promote", "1.1.0")
    (models / ".registry.lock").unlink()
    for folder in (models, *models.parents[:3]):  # pytest's own are for root alone
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        assert "chosen, loaded" in listed(models, capsys)[0]["chest-xray-1.1.0"]
        assert run(models, "log") == 0
        assert run(models, "promote", "1.2.0") == 1
        assert capsys.readouterr().err == f"{models} cannot be written: Permission denied. Nothing was changed.\n"
    finally:
        os.seteuid(0)


def test_the_log_shows_what_was_decided_the_latest_first(models, capsys):
    run(models, "promote", "1.1.0", "--note", "Fewer false alarms.")
    run(models, "rollback", "--note", "More misses.")
    capsys.readouterr()
    assert run(models, "log") == 0
    first, _, second, note = capsys.readouterr().out.splitlines()
    assert "rolled back chest-xray-2.0.0 (before: chest-xray-1.1.0)" in first
    assert "promoted chest-xray-1.1.0 (before: chest-xray-2.0.0)" in second
    assert note.endswith("Fewer false alarms.")


def test_a_bundle_is_added_whole_and_once(models, bundle_path, capsys):
    bundle = ModelBundle.open(bundle_path)
    shutil.rmtree(models / "chest-xray-1.0.0")
    assert run(models, "add", str(bundle_path)) == 0
    assert ModelBundle.open(models / "chest-xray-1.0.0").manifest == bundle.manifest
    assert run(models, "add", str(bundle_path)) == 0
    assert "there already" in capsys.readouterr().out
    manifest = json.loads((models / "chest-xray-1.0.0" / MANIFEST_NAME).read_text("utf-8"))
    (models / "chest-xray-1.0.0" / MANIFEST_NAME).write_text(json.dumps(manifest | {"git_commit": "1" * 40}))
    assert run(models, "add", str(bundle_path)) == 1
    assert "higher version" in capsys.readouterr().err


def test_remains_of_a_killed_copy_go_with_the_next_one(models, bundle_path):
    shutil.rmtree(models / "chest-xray-1.0.0")
    left = models / ".chest-xray-1.0.0.0a1b2c3d" / "new"
    left.mkdir(parents=True)
    (left / GRAPH_NAME).write_bytes(b"half a graph")
    assert run(models, "add", str(bundle_path)) == 0
    assert not left.parent.exists()


def test_a_damaged_bundle_is_not_added(models, tmp_path_factory):
    elsewhere = shutil.move(models / "chest-xray-1.0.0", tmp_path_factory.mktemp("elsewhere"))
    other_weights(Path(elsewhere))
    assert run(models, "add", str(elsewhere)) == 1
    assert not (models / "chest-xray-1.0.0").exists()
