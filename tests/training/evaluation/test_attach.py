"""Putting an evaluation into its bundle."""

import json
import shutil

from export.attach import ATTACHED
from service.commands.cxr import main
from service.model.bundle import ModelBundle
from service.model.manifest import MODEL_CARD_NAME


def test_attaching_puts_metrics_and_card_into_the_bundle_and_leaves_the_graph(evaluated, metrics, trained_bundle, tmp_path):
    bundle_copy = shutil.copytree(trained_bundle, tmp_path / "bundle")
    before = ModelBundle.open(bundle_copy).manifest
    files = ["--metrics", str(evaluated / "metrics.json"), "--card", str(evaluated / MODEL_CARD_NAME)]
    assert main(["registry", "attach", str(bundle_copy), *files, "--no-register"]) == 0
    after = ModelBundle.open(bundle_copy)
    assert after.manifest.test_metrics == {name: metrics[name] for name in ATTACHED}
    assert after.file(MODEL_CARD_NAME).read_text() == (evaluated / MODEL_CARD_NAME).read_text()
    changed = {"test_metrics", "files"}
    assert after.manifest.model_dump(exclude=changed) == before.model_dump(exclude=changed)
    assert {name for name in before.files if before.files[name] != after.manifest.files[name]} == {MODEL_CARD_NAME}


def test_metrics_of_another_graph_version_or_split_are_not_attached(evaluated, metrics, trained_bundle, tmp_path, capsys):
    bundle_copy = shutil.copytree(trained_bundle, tmp_path / "bundle")
    foreign = {**metrics, "bundle": {**metrics["bundle"], "model_sha256": "0" * 64}}
    older = {**metrics, "bundle": {**metrics["bundle"], "version": "0.9.0"}}
    card = str(evaluated / MODEL_CARD_NAME)
    for content, fault in (
        (json.dumps(foreign), "measured on a graph with SHA-256 000000000000"),
        (json.dumps(older), "measured on version 0.9.0, whose thresholds may be others"),
        (json.dumps({**metrics, "trained_on_this_folder": False}), "on another data folder than"),
        (json.dumps({**metrics, "split": "val"}), "measured on the val split, a bundle takes metrics of the test split"),
        ("{}", "lacks command, split"),
        ("[]", "lacks command, split"),
        ("not json", "is not JSON"),
        (json.dumps({**metrics, "n": float("nan")}), "is not JSON (NaN is no number of JSON)"),
    ):
        (tmp_path / "metrics.json").write_text(content)
        files = ["--metrics", str(tmp_path / "metrics.json"), "--card", card]
        assert main(["registry", "attach", str(bundle_copy), *files]) == 1
        assert fault in capsys.readouterr().err
    assert ModelBundle.open(bundle_copy).manifest.test_metrics == {}
