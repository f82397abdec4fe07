"""Site profiles of a bundle, for tests: written as commissioning writes them, with made-up numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from export.site_profile import golden_answers, write_profile
from service.film.arrays import NetworkValues
from service.model.bundle import ModelBundle, sha256_of
from service.model.drift_reference import DriftReference
from service.model.site_profile import PROFILE_NAME, BundleIdentity, SiteHead, SiteProfile


def site_head(features: int, seed: int = 0) -> SiteHead:
    """A head that answers otherwise than the released one. features: of the bundle's embedding."""
    random = np.random.default_rng(seed)
    return SiteHead(
        scale=np.array([0.6], np.float32),
        weights=random.normal(0, 3, (3, features)).astype(np.float32),
        bias=np.array([0.3, -0.2, 0.1], np.float32),
    )


def profile_members(bundle: ModelBundle, **changes: Any) -> dict[str, Any]:
    """What `write_profile` takes for version 1 of the site "mercy", with `changes`."""
    members: dict[str, Any] = {
        "name": "mercy",
        "version": 1,
        "created_at": "2026-11-28T12:00:00Z",
        "bundle": BundleIdentity.of(bundle).model_dump(),
        "verified": True,
        "films": {"Normal": 40, "Tuberculosis": 40, "unlabelled": 3},
    }
    return members | changes


def make_profile(
    bundle: ModelBundle,
    sites: Path,
    *,
    head: SiteHead | None = None,
    golden: NetworkValues | None = None,
    drift_reference: DriftReference | None = None,
    **changes: Any,
) -> SiteProfile:
    """A profile of the bundle in the folder `sites`; by default it changes nothing. golden: by default the right answers."""
    members = profile_members(bundle, **changes)
    folder = sites / f"{members['name']}-{members['version']}"
    answers = golden_answers(bundle, head) if golden is None else golden
    return write_profile(folder, members, head=head, golden=answers, drift_reference=drift_reference)


def rewrite(profile: SiteProfile, **contents: bytes) -> Path:
    """Give files of the profile, named without their endings, other bytes, whose hashes profile.json then states."""
    manifest = json.loads(profile.file(PROFILE_NAME).read_text("utf-8"))
    for stem, content in contents.items():
        [file] = profile.path.glob(f"{stem}.*")
        file.write_bytes(content)
        manifest["files"][file.name] = sha256_of(file)
    profile.file(PROFILE_NAME).write_text(json.dumps(manifest), "utf-8")
    return profile.path
