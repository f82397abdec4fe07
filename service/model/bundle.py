"""A bundle: the folder with everything that a serving process needs. Opening one verifies its files against the manifest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from service.model.errors import BundleNotFound, HashMismatch, ManifestInvalid
from service.model.manifest import MANIFEST_NAME, ModelManifest


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle directory."""

    path: Path
    manifest: ModelManifest

    @classmethod
    def open(cls, path: Path) -> "ModelBundle":
        """Read the manifest and verify every hash. Raises BundleNotFound, ManifestInvalid or HashMismatch."""
        try:
            return cls._verified(path)
        except OSError as fault:
            raise BundleNotFound(
                f"The bundle at {path} cannot be read ({fault.strerror}: {fault.filename}); let this user read its files."
            ) from fault

    @classmethod
    def _verified(cls, path: Path) -> "ModelBundle":
        manifest_path = path / MANIFEST_NAME
        if not path.is_dir() or not manifest_path.is_file():
            raise BundleNotFound(f"No bundle at {path}: it must be a folder with a {MANIFEST_NAME}, as `cxr export` writes it.")
        try:
            manifest = ModelManifest.model_validate(json.loads(manifest_path.read_text("utf-8")))
        except (ValidationError, ValueError) as fault:
            raise ManifestInvalid(f"{manifest_path} is not a valid manifest; export the model again. {fault}") from fault
        if damage := damaged_file(path, manifest.files, "the manifest"):
            raise HashMismatch(f"{damage}; restore the bundle from its release.")
        return cls(path=path, manifest=manifest)

    def file(self, name: str) -> Path:
        """Path of one of the bundle's files."""
        return self.path / name


def damaged_file(folder: Path, files: Mapping[str, str], record: str) -> str:
    """What is wrong with the first file that is missing or was changed, as a clause; "" if all are as recorded.

    files: name -> SHA-256. record: where that stands, for the clause. Raises OSError for a file that cannot be read.
    """
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            return f"{file} is named in {record} but missing"
        actual = sha256_of(file)
        if actual != expected:
            return f"{file} has SHA-256 {actual[:12]}, {record} says {expected[:12]}"
    return ""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
