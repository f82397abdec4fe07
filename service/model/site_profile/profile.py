"""A site profile: the folder with what a hospital's own films changed in how one bundle answers. Reads it and verifies it.

It belongs to the bundle that it was made for, whose graph stays as it is. `export.site_profile` writes profiles.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.film.arrays import NetworkValues
from service.model.bundle import ModelBundle, damaged_file
from service.model.drift_reference import DriftReference
from service.model.errors import ProfileInvalid, ProfileMismatch, ProfileNotFound
from service.model.findings import FINDINGS
from service.model.manifest import (
    DRIFT_REFERENCE_NAME,
    GOLDEN_NAME,
    GRAPH_NAME,
    HEAD_NAME,
    OUTLIERS_NAME,
    ConformalSpec,
    ModelManifest,
    OperatingPoint,
    OutlierSpec,
    ReviewSpec,
)
from service.model.site_profile.head import SiteHead, read_head

PROFILE_NAME = "profile.json"
SITE_HEAD_NAME = "head.safetensors"
SITE_GOLDEN_NAME = "golden.npz"

# What a bundle answers with. Card, parity and test metrics may be written again without changing an answer.
_ANSWERING_FILES = (GRAPH_NAME, HEAD_NAME, GOLDEN_NAME, OUTLIERS_NAME)
_ANSWERING_MEMBERS = {"preprocess", "temperature", "head", "operating_points", "conformal", "review", "outliers"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundleIdentity(_Frozen):
    """The one bundle that a profile belongs to."""

    name: str
    version: str
    files_sha256: str  # see `files_sha256`

    @classmethod
    def of(cls, bundle: ModelBundle) -> "BundleIdentity":
        """The identity of a verified bundle."""
        return cls(name=bundle.manifest.name, version=bundle.manifest.version, files_sha256=files_sha256(bundle))


class ProfileManifest(_Frozen):
    """Content of profile.json: what the profile changes, and what it was made of. It names no film, path or patient."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)  # of the site
    version: int = Field(ge=1)
    created_at: str  # ISO 8601, UTC
    bundle: BundleIdentity
    head: bool  # whether head.safetensors is there; else the bundle's own probabilities answer
    # Decision parts; None leaves the bundle's. The operating points have the names of the bundle's.
    operating_points: dict[str, OperatingPoint] | None = None
    conformal: ConformalSpec | None = None
    review: ReviewSpec | None = None
    outliers: OutlierSpec | None = None  # bounds alone: the statistics stay the bundle's
    verified: bool  # False: only films without a label were given, so nothing was verified
    warnings: tuple[str, ...] = ()  # sentences that a person must read
    figures: dict[str, dict[str, Any]] = Field(default_factory=dict)  # acceptance figures, before and after
    films: dict[str, int]  # number of films by finding; "unlabelled" for those without a label
    files: dict[str, str]  # SHA-256 (hex) of every file of the profile except profile.json

    @model_validator(mode="after")
    def _is_complete(self) -> "ProfileManifest":
        if SITE_GOLDEN_NAME not in self.files:
            raise ValueError(f"files lacks {SITE_GOLDEN_NAME}")
        if self.head != (SITE_HEAD_NAME in self.files):
            place = "not among" if self.head else "among"
            raise ValueError(f"head is {self.head}, but {SITE_HEAD_NAME} is {place} the files")
        for name in self.files:
            if Path(name).name != name or name == PROFILE_NAME:
                raise ValueError(f"file name {name!r} must be a plain name inside the profile")
        if self.accuracy is not None and not (isinstance(self.accuracy, float | int) and 0 <= self.accuracy <= 1):
            raise ValueError(f"the accuracy among the figures after commissioning is {self.accuracy!r}, not a share")
        return self

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the site's films with the profile; None if nothing was verified."""
        accuracy: float | None = self.figures.get("after", {}).get("accuracy")
        return accuracy


@dataclass(frozen=True)
class Site:
    """Which profile answered."""

    name: str  # of the site
    version: int  # of its profile

    def members(self) -> dict[str, Any]:
        """The JSON object that stands for the site in answers."""
        return asdict(self)

    def __str__(self) -> str:
        """As folders, records, tables and metrics name it: name-version."""
        return f"{self.name}-{self.version}"

    @classmethod
    def parse(cls, text: str) -> "Site":
        """The site that `str` gave this text for."""
        name, _, version = text.rpartition("-")
        return cls(name, int(version))


@dataclass(frozen=True)
class SiteProfile:
    """A verified profile folder."""

    path: Path
    manifest: ProfileManifest
    head: SiteHead | None  # None: the bundle's own probabilities answer

    @classmethod
    def open(cls, path: Path) -> "SiteProfile":
        """Read the profile, verify every hash and look into every file. Raises ProfileNotFound or ProfileInvalid."""
        try:
            return cls._verified(path)
        except OSError as fault:
            raise ProfileNotFound(
                f"The site profile at {path} cannot be read ({fault.strerror}: {fault.filename}); let this user read its files."
            ) from fault

    @classmethod
    def _verified(cls, path: Path) -> "SiteProfile":
        manifest_path = path / PROFILE_NAME
        if not path.is_dir() or not manifest_path.is_file():
            raise ProfileNotFound(
                f"No site profile at {path}: it must be a folder with a {PROFILE_NAME}, as `cxr commission` writes it."
            )
        try:
            members = json.loads(manifest_path.read_text("utf-8"), parse_constant=_refuse)
            manifest = ProfileManifest.model_validate(members)
        except (ValidationError, ValueError) as fault:
            raise ProfileInvalid(f"{manifest_path} is not a valid site profile; commission the site again. {fault}") from fault
        if damage := damaged_file(path, manifest.files, PROFILE_NAME):
            raise ProfileInvalid(f"{damage}; restore the profile from its copy.")
        profile = cls(path, manifest, read_head(path / SITE_HEAD_NAME) if manifest.head else None)
        profile.golden_probabilities()
        profile.drift_reference()
        return profile

    @property
    def site(self) -> Site:
        """Name and version, as answers give them."""
        return Site(self.manifest.name, self.manifest.version)

    def file(self, name: str) -> Path:
        """Path of one of the profile's files."""
        return self.path / name

    def versions(self) -> list[Path]:
        """Folders <site>-<version> beside this one, the highest version first. This one is among them if it has such a name."""
        return versions_of(self.manifest.name, self.path.resolve().parent)

    def require_bundle(self, bundle: ModelBundle) -> None:
        """Raises ProfileMismatch if the profile was made for another bundle, or does not fit the parts of this one."""
        own, found = self.manifest.bundle, BundleIdentity.of(bundle)
        if own != found:
            raise ProfileMismatch(
                f"The site profile at {self.path} belongs to {_text(own)}, not to {_text(found)} at {bundle.path}; "
                "serve that bundle, or commission this one."
            )
        for fault in self._misfits(bundle.manifest):
            raise ProfileMismatch(
                f"The site profile at {self.path} does not fit {_text(found)}: {fault}; commission the site again."
            )

    def _misfits(self, manifest: ModelManifest) -> list[str]:
        own, faults = self.manifest, []
        if self.head is not None and self.head.weights.shape[1] != manifest.head.features:
            faults.append(f"its head reads {self.head.weights.shape[1]} features, the bundle has {manifest.head.features}")
        if own.operating_points is not None and set(own.operating_points) != set(manifest.operating_points):
            faults.append(
                f"its operating points are {', '.join(sorted(own.operating_points))}, "
                f"the bundle's {', '.join(sorted(manifest.operating_points))}"
            )
        if own.outliers is not None and manifest.outliers is None:
            faults.append("it has a threshold for outliers, the bundle no statistics of them")
        reference = self.drift_reference()
        if reference is not None and reference.components and manifest.outliers is None:
            faults.append("its drift reference has components of the embedding, the bundle none")
        return faults

    def apply_to(self, manifest: ModelManifest) -> ModelManifest:
        """The bundle's manifest with the decision parts of the profile."""
        parts = ("operating_points", "conformal", "review", "outliers")
        given = {name: part for name in parts if (part := getattr(self.manifest, name)) is not None}
        return manifest.model_copy(update=given)

    def drift_reference(self) -> DriftReference | None:
        """The distributions of the site's own films; None if the profile has none. Raises ProfileInvalid."""
        path = self.file(DRIFT_REFERENCE_NAME)
        if path.name not in self.manifest.files:
            return None
        try:
            return DriftReference.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as fault:
            raise ProfileInvalid(f"{path} is not a valid drift reference; commission the site again. {fault}") from fault

    def golden_probabilities(self) -> NetworkValues:
        """What the profile answers on the bundle's golden images, float32 [K, 3]. Raises ProfileInvalid."""
        path = self.file(SITE_GOLDEN_NAME)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                probabilities: NetworkValues = arrays["probabilities"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
            raise ProfileInvalid(f"{path} records no probabilities; commission the site again. {fault}") from fault
        if probabilities.dtype != np.float32 or probabilities.ndim != 2 or probabilities.shape[1] != len(FINDINGS):
            raise ProfileInvalid(
                f"{path} must record probabilities, float32 [K, {len(FINDINGS)}], not {probabilities.dtype} "
                f"{list(probabilities.shape)}; commission the site again."
            )
        return probabilities


def versions_of(site: str, folder: Path) -> list[Path]:
    """Folders <site>-<version> of the site's profiles in this folder, the highest version first."""
    numbers = {path.parent: path.parent.name.removeprefix(f"{site}-") for path in folder.glob(f"{site}-*/{PROFILE_NAME}")}
    found = [path for path, number in numbers.items() if number.isdecimal()]
    return sorted(found, key=lambda path: int(numbers[path]), reverse=True)


def files_sha256(bundle: ModelBundle) -> str:
    """SHA-256 over what the bundle answers with, its files and the members of its manifest, as 64 hex digits."""
    files = bundle.manifest.files
    members = bundle.manifest.model_dump(mode="json", include=_ANSWERING_MEMBERS)
    lines = [f"{name}\0{files[name]}" for name in sorted(_ANSWERING_FILES) if name in files]
    return hashlib.sha256("\n".join([*lines, json.dumps(members, sort_keys=True)]).encode()).hexdigest()


def _text(identity: BundleIdentity) -> str:
    return f"{identity.name} {identity.version} (files {identity.files_sha256[:12]})"


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity; a profile with them could not be answered by /model/info."""
    raise ValueError(f"{constant} is no number of JSON")
