"""Releases a model again with a new drift reference and a new review threshold, under a higher version.

For features that monitoring has begun to count, and a share of films to flag that has changed, since the model was exported.
Graph, head and all other thresholds stay as they are, byte for byte, so the new release gives the same probabilities.
"""

from pathlib import Path

from export.bundle import seal, staged_copy
from export.calibration import REVIEW_SHARE, review_threshold
from export.drift_reference import build_reference
from export.export import TRAINING_FILMS
from export.films import compute, read_films, usable_films
from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.manifest import DRIFT_REFERENCE_NAME, MODEL_CARD_NAME, ReviewSpec
from service.model.outliers import read_outlier_statistics
from service.model.predictor import Predictor
from service.model.releases import version_of
from training.config import DataConfig
from training.errors import ExportError


def reissue(bundle_path: Path, data: Path, version: str) -> ModelBundle:
    """Write the new release beside the bundle, and return it.

    data: the folder of the training. version: one above the bundle's with the same first number. The new release has no test
    metrics at its operating points, because review is among them: it has to be evaluated.
    Raises BundleError if the bundle cannot be trusted, ExportError if it has no outlier statistics or the version does not
    follow its own, and DatasetError for another data folder.
    """
    bundle = ModelBundle.open(bundle_path)
    manifest = bundle.manifest
    if not follows(manifest.version, version):
        raise ExportError(
            f"{version} does not follow {manifest.version}; raise its second or third number and keep the first, because the "
            "findings and the hospitals of the training stay."
        )
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
        review = ReviewSpec(low_confidence_below=review_threshold(outputs["probabilities"], REVIEW_SHARE))
        metrics = {name: value for name, value in manifest.test_metrics.items() if name != "operating_points"}
        seal(folder, manifest.model_copy(update={"version": version, "review": review, "test_metrics": metrics}))
    return ModelBundle.open(target)


def follows(version: str, later: str) -> bool:
    """Whether the second version is above the first and has its first number."""
    before, after = (version_of(f"any-{each}") for each in (version, later))
    return before is not None and after is not None and before[0] == after[0] and before < after


def reissued_card(card: str, name: str, version: str, new_version: str) -> str:
    """The model card under the new version, with a note that says which release was measured."""
    heading, _, rest = card.partition("\n")
    note = (
        f"Not evaluated yet: the figures below are those of {name} {version}. Its probabilities are the same; the drift "
        "reference and the review threshold are new."
    )
    return f"{heading.replace(version, new_version)}\n\n{note}\n{rest}"
