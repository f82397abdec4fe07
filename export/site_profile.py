"""Writes site profiles. Knows which files a profile has, not how their contents are computed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from export.bundle import staged, write_arrays
from service.files import write_json
from service.film.arrays import NetworkValues
from service.model.bundle import ModelBundle, sha256_of
from service.model.drift_reference import DriftReference
from service.model.manifest import DRIFT_REFERENCE_NAME, GOLDEN_NAME
from service.model.predictor import Predictor, answered, answering_outputs
from service.model.site_profile import (
    PROFILE_NAME,
    SITE_GOLDEN_NAME,
    SITE_HEAD_NAME,
    ProfileManifest,
    SiteHead,
    SiteProfile,
)
from training.errors import ExportError


def golden_answers(bundle: ModelBundle, head: SiteHead | None) -> NetworkValues:
    """What a profile with this head answers on the bundle's golden images, float32 [K, 3]. Raises ManifestInvalid."""
    predictor = Predictor.from_bundle(bundle)
    with np.load(bundle.file(GOLDEN_NAME), allow_pickle=False) as golden:
        images = golden["images"]
    # One by one, as films are served.
    runs = [answered(predictor.predict(image[None], answering_outputs(head)), head) for image in images]
    return np.concatenate(runs)


def write_profile(
    folder: Path,
    members: Mapping[str, Any],
    *,
    head: SiteHead | None,
    golden: NetworkValues,
    drift_reference: DriftReference | None,
) -> SiteProfile:
    """Write a profile, complete or not at all, and open it as a server would. A profile is never overwritten.

    folder: <name>-<version>, in which the service looks for other versions of the site beside this one.
    members: those of `ProfileManifest`, all but `head` and `files`.
    head: None leaves the probabilities to the bundle.
    golden: see `golden_answers`.
    drift_reference: of the site's own films; None leaves drift to the bundle's reference.

    Raises ExportError if the folder exists or has another name, or if `ProfileManifest` does not accept the members.
    """
    expected = f"{members.get('name')}-{members.get('version')}"
    if folder.name != expected:
        raise ExportError(f"The site profile in {folder} must be in a folder named {expected}, after its name and version.")
    if folder.exists():
        raise ExportError(f"{folder} exists, and a site profile is never overwritten; raise the version.")
    with staged(folder) as draft:
        np.savez_compressed(draft / SITE_GOLDEN_NAME, allow_pickle=False, probabilities=golden)
        if head is not None:
            write_arrays(draft / SITE_HEAD_NAME, head)
        if drift_reference is not None:
            write_json(draft / DRIFT_REFERENCE_NAME, drift_reference.model_dump(mode="json"))
        files = {file.name: sha256_of(file) for file in sorted(draft.iterdir())}
        try:
            manifest = ProfileManifest.model_validate({**members, "head": head is not None, "files": files})
        except ValidationError as fault:
            raise ExportError(f"The site profile in {folder} cannot have these members; correct them. {fault}") from fault
        write_json(draft / PROFILE_NAME, manifest.model_dump(mode="json"))
        SiteProfile.open(draft)
    return SiteProfile.open(folder)
