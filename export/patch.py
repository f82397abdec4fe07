"""Release a model again with a new drift reference: python -m export.patch BUNDLE --data DATA --version 1.1.1.

For what monitoring has learnt to look at since the model was exported. Graph, head, thresholds and figures stay as they are,
byte for byte, so the patch answers as the release did.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from export.bundle import register, seal, write_json
from export.export import TRAINING_FILMS
from export.films import read_films, usable_films
from export.outputs import compute
from export.reference import build_reference
from export.staging import staged_copy
from service.film.errors import ChestXrayError
from service.model.bundle import ModelBundle
from service.model.manifest import DRIFT_REFERENCE_NAME, MODEL_CARD_NAME
from service.model.outliers import read_outlier_statistics
from service.model.predictor import Predictor
from training.data.validation_report import ValidationLimits
from training.errors import ExportError


def main(argv: Sequence[str] | None = None) -> int:
    """Patch from the command line. Returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m export.patch", description="Release a model with a new drift reference.")
    parser.add_argument("bundle", type=Path, help="bundle folder, for example models/chest-xray-1.1.0")
    parser.add_argument("--data", type=Path, required=True, help="the data folder that it was trained on")
    parser.add_argument("--version", required=True, help="the same but for a higher patch number, for example 1.1.1")
    parser.add_argument("--no-register", action="store_true", help="do not copy it into BentoML's model store")
    arguments = parser.parse_args(argv)
    try:
        patched = patch(arguments.bundle, arguments.data, arguments.version)
        registered = "" if arguments.no_register else f", registered as {register(patched)}"
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    print(f"{patched.path}: the model of {arguments.bundle.name} with a new drift reference{registered}")
    return 0


def patch(bundle_path: Path, data: Path, version: str) -> ModelBundle:
    """Write the patch beside the bundle, and return it.

    Raises BundleError if the bundle cannot be trusted, ExportError if it has no outlier statistics or the version is no patch
    of its own, and DatasetError for another data folder than that of the training.
    """
    bundle = ModelBundle.open(bundle_path)
    manifest = bundle.manifest
    if not is_patch(manifest.version, version):
        raise ExportError(f"{version} is no patch of {manifest.version}; raise its last number, and nothing else.")
    if manifest.outliers is None:
        raise ExportError(f"{bundle_path} has no outlier statistics, whose components are referred to; export the model again.")
    settings = manifest.training_config["data"]
    limits = ValidationLimits(near_duplicate_bits=settings["near_duplicate_bits"])
    files = usable_films(data, manifest.data_fingerprint, limits, settings["held_out_source"])
    validation = read_films(files["val"], manifest.preprocess)
    outputs = compute(Predictor.from_bundle(bundle), validation.images, "probabilities", "embedding")
    reference = build_reference(
        read_films(files["train"], manifest.preprocess, limit=TRAINING_FILMS),
        outputs["probabilities"],
        outputs["embedding"],
        read_outlier_statistics(bundle).components,
    )
    patched = bundle_path.resolve().with_name(f"{manifest.name}-{version}")
    with staged_copy(bundle, patched) as folder:
        write_json(folder / DRIFT_REFERENCE_NAME, reference.model_dump(mode="json"))
        card = bundle.file(MODEL_CARD_NAME).read_text("utf-8")
        (folder / MODEL_CARD_NAME).write_text(patched_card(card, manifest.name, manifest.version, version), "utf-8")
        seal(folder, manifest.model_copy(update={"version": version}))
    return ModelBundle.open(patched)


def is_patch(version: str, patch_version: str) -> bool:
    """Whether the second differs from the first in a higher last number alone."""
    try:
        (*release, number), (*patched, higher) = (tuple(map(int, each.split("."))) for each in (version, patch_version))
    except ValueError:
        return False
    return len(release) == 2 and release == patched and higher > number


def patched_card(card: str, name: str, version: str, patch_version: str) -> str:
    """The model card under the patch's version, saying whose figures it repeats."""
    heading, _, rest = card.partition("\n")
    note = f"The model, its thresholds and all figures below are those of {name} {version}; the drift reference is new."
    return f"{heading.replace(version, patch_version)}\n\n{note}\n{rest}"


if __name__ == "__main__":
    raise SystemExit(main())
