"""A manifest and a bundle of dummy files, for tests that need no model."""

import json
import shutil
from pathlib import Path
from typing import Any

from service.model.bundle import sha256_of
from service.model.findings import FINDINGS
from service.model.manifest import MANIFEST_NAME, REQUIRED_FILES, ModelManifest
from service.model.releases import STATE_NAME


def manifest_members(**changes: Any) -> dict[str, Any]:
    """The members of a valid manifest.json, with `changes`."""
    members: dict[str, Any] = {
        "name": "chest-xray",
        "version": "1.2.3",
        "architecture": "tf_efficientnet_lite0",
        "findings": [finding.value for finding in FINDINGS],
        "preprocess": {},
        "head": {"features": 8, "hidden": 4, "classes": 3, "norm_eps": 1e-5},
        "temperature": 1.5,
        "operating_points": {
            "balanced": {"description": "argmax"},
            "high_sensitivity": {"description": "", "thresholds": {"Pneumonia": 0.3, "Tuberculosis": 0.3}},
            "high_specificity": {"description": "", "thresholds": {"Pneumonia": 0.7, "Tuberculosis": 0.7}},
            "tb_screening": {"description": "", "thresholds": {"Tuberculosis": 0.2}},
        },
        "conformal": {"coverage": 0.9, "quantiles": {"Normal": 0.6, "Pneumonia": 0.6, "Tuberculosis": 0.6}},
        "review": {"low_confidence_below": 0.6},
        "opset": 18,
        "created_at": "2026-01-01T00:00:00Z",
        "git_commit": "0" * 40,
        "data_fingerprint": "0" * 64,
        "training_config": {"data": {"root": "a folder"}},
        "versions": {},
        "files": dict.fromkeys(REQUIRED_FILES, "0" * 64),
    }
    return members | changes


def make_manifest(**changes: Any) -> ModelManifest:
    return ModelManifest.model_validate(manifest_members(**changes))


def copy_bundle(bundle_path: Path, models: Path, version: str, **contents: bytes) -> Path:
    """A copy of a bundle under another version, in the folder `models`.

    contents: new bytes of some files, whose hashes the manifest then states; file names without their endings.
    """
    path = models / f"chest-xray-{version}"
    shutil.copytree(bundle_path, path)
    manifest = json.loads((path / MANIFEST_NAME).read_text("utf-8"))
    for stem, content in contents.items():
        [file] = path.glob(f"{stem}.*")
        file.write_bytes(content)
        manifest["files"][file.name] = sha256_of(file)
    (path / MANIFEST_NAME).write_text(json.dumps(manifest | {"version": version}), "utf-8")
    return path


def choose(models: Path, serving: str | None, *previous: str) -> None:
    """Write the registry's choice into a folder of releases."""
    (models / STATE_NAME).write_text(json.dumps({"serving": serving, "previous": previous}), "utf-8")


def write_bundle(path: Path, **changes: Any) -> Path:
    """A bundle folder of dummy files, with a valid manifest and valid hashes."""
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_bytes(name.encode())
    files = {name: sha256_of(path / name) for name in REQUIRED_FILES}
    (path / MANIFEST_NAME).write_text(json.dumps(manifest_members(files=files) | changes), "utf-8")
    return path
