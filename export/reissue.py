"""Releases a model again with a new drift reference, under a higher patch version.

For features that monitoring has begun to count since the model was exported. Graph, head, thresholds and test metrics stay as
they are, byte for byte, so the new release gives the same answers.
"""

from pathlib import Path

from export.bundle import seal, staged_copy
from export.drift_reference import build_reference
from export.export import TRAINING_FILMS
from export.films import compute, read_films, usable_films
from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.manifest import DRIFT_REFERENCE_NAME, MODEL_CARD_NAME
from service.model.outliers import read_outlier_statistics
from service.model.predictor import Predictor
from training.config import DataConfig
from training.errors import ExportError


def reissue(bundle_path: Path, data: Path, version: str) -> ModelBundle:
    """Write the new release beside the bundle, and return it.

    data: the folder of the training. version: the bundle's with a higher last number.
    Raises BundleError if the bundle cannot be trusted, ExportError if it has no outlier statistics or the version is no patch
    of its own, and DatasetError for another data folder.
    """
    bundle = ModelBundle.open(bundle_path)
    manifest = bundle.manifest
    if not is_patch(manifest.version, version):
        raise ExportError(f"{version} is no patch of {manifest.version}; raise its last number, and nothing else.")
    if manifest.outliers is None:
        raise ExportError(f"{bundle_path} has no outlier statistics, which the reference needs; export the model again.")
    settings = manifest.training_config["data"]
    config = DataConfig(near_duplicate_bits=settings["near_duplicate_bits"], held_out_source=settings["held_out_source"])
    films = usable_films(data, config, manifest.data_fingerprint)
    validation = read_films(films.val, manifest.preprocess)
    outputs = compute(Predictor.from_bundle(bundle), validation.images, "probabilities", "embedding")
    reference = build_reference(
        read_films(films.train, manifest.preprocess, limit=TRAINING_FILMS).statistics(),
        outputs["probabilities"],
        outputs["embedding"],
        read_outlier_statistics(bundle).components,
    )
    target = bundle_path.resolve().with_name(f"{manifest.name}-{version}")
    with staged_copy(bundle, target) as folder:
        write_json(folder / DRIFT_REFERENCE_NAME, reference.model_dump(mode="json"))
        card = bundle.file(MODEL_CARD_NAME).read_text("utf-8")
        (folder / MODEL_CARD_NAME).write_text(reissued_card(card, manifest.name, manifest.version, version), "utf-8")
        seal(folder, manifest.model_copy(update={"version": version}))
    return ModelBundle.open(target)


def is_patch(version: str, patch_version: str) -> bool:
    """Whether the second version differs from the first in a higher last number alone."""
    try:
        (*release, number), (*patched, higher) = (tuple(map(int, each.split("."))) for each in (version, patch_version))
    except ValueError:
        return False
    return len(release) == 2 and release == patched and higher > number


def reissued_card(card: str, name: str, version: str, new_version: str) -> str:
    """The model card under the new version, with a note that says which release was measured."""
    heading, _, rest = card.partition("\n")
    note = f"The model, its thresholds and all metrics below are those of {name} {version}; the drift reference is new."
    return f"{heading.replace(version, new_version)}\n\n{note}\n{rest}"
