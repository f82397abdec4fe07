"""Writes bundles, with a hash of every file; registers them in BentoML's model store; attaches an evaluation.

Knows what files a bundle has, not how their contents came about.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from export.staging import staged_copy
from service.model.bundle import ModelBundle, sha256_of
from service.model.manifest import MANIFEST_NAME, MODEL_CARD_NAME, ModelManifest
from service.model.outliers import OutlierStatistics
from service.model.predictor import Predictor
from training.errors import ExportError
from training.network.classifier import Head

# What golden.npz records; features are left out, being 48 times larger than all others and checked through their mean.
GOLDEN_OUTPUTS = ("probabilities", "logits", "embedding")


def write_head(path: Path, head: Head) -> None:
    """Save the classifier head under the tensor names of `HeadSpec`."""
    # BatchNorm's batch counter serves training only.
    tensors = {
        name: tensor.contiguous() for name, tensor in head.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, path)
    path.chmod(0o644)  # safetensors writes for the owner only; a server runs as another user


def write_outlier_statistics(path: Path, statistics: OutlierStatistics) -> None:
    """Save the statistics of the training films under the names of their fields."""
    # Contiguous, because safetensors writes the memory of an array whatever its strides say.
    save_arrays({name: np.ascontiguousarray(tensor) for name, tensor in vars(statistics).items()}, path)
    path.chmod(0o644)


def write_golden(path: Path, predictor: Predictor, images: npt.NDArray[np.uint8]) -> None:
    """Record the predictor's outputs for synthetic images, uint8 [K, S, S]."""
    np.savez_compressed(path, allow_pickle=False, images=images, **predictor.predict(images, GOLDEN_OUTPUTS))


def write_json(path: Path, value: Any) -> None:
    """Indented, so that a person can read it; not-a-number raises ValueError, because JSON has none."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def seal(folder: Path, manifest: ModelManifest) -> ModelBundle:
    """Hash every file, write the manifest, and open the result as a server would."""
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST_NAME}
    sealed = ModelManifest.model_validate({**manifest.model_dump(), "files": files})
    write_json(folder / MANIFEST_NAME, sealed.model_dump(mode="json"))
    return ModelBundle.open(folder)


def attach_evaluation(bundle_path: Path, metrics: dict[str, Any], card: str) -> ModelBundle:
    """Put figures of the test split and a model card into an existing bundle, which is replaced as a whole.

    metrics: plain values, for manifest.test_metrics. card: Markdown, for MODEL_CARD.md. The graph stays, byte for byte, and so
    does the version: figures do not change what the model answers. Raises BundleError if the bundle cannot be trusted, and
    ExportError if the metrics hold a not-a-number.
    """
    try:
        json.dumps(metrics, allow_nan=False)
    except ValueError as fault:
        # Checked here, because pydantic would write null for it without a word.
        raise ExportError(
            f"The metrics of {bundle_path} cannot be written as JSON ({fault}); give null for what is undefined."
        ) from fault
    bundle = ModelBundle.open(bundle_path)
    manifest = bundle.manifest.model_copy(update={"test_metrics": metrics})
    with staged_copy(bundle, bundle_path, replace=True) as staging:
        (staging / MODEL_CARD_NAME).write_text(card, encoding="utf-8")
        seal(staging, manifest)
    return ModelBundle.open(bundle_path)


def store_tag(name: str, version: str) -> str:
    """The bundle's name in BentoML's model store."""
    return f"{name}:{version}"


def is_registered(tag: str) -> bool:
    """Whether BentoML's model store holds this tag."""
    import bentoml  # takes two seconds, and configures logging

    return any(str(model.tag) == tag for model in bentoml.models.list())


def register(bundle: ModelBundle, *, replace: bool = False) -> str:
    """Copy a bundle into BentoML's model store and return its tag, name:version.

    Raises ExportError if the store holds that version and `replace` is not set.
    """
    import bentoml

    manifest = bundle.manifest
    tag = store_tag(manifest.name, manifest.version)
    if is_registered(tag):
        if not replace:
            raise ExportError(f"BentoML's model store holds {tag}; raise the version, or pass --replace to overwrite it.")
        bentoml.models.delete(tag)
    labels = {"architecture": manifest.architecture, "data-fingerprint": manifest.data_fingerprint[:16]}
    with bentoml.models.create(tag, labels=labels) as model:
        for name in (MANIFEST_NAME, *manifest.files):
            shutil.copy2(bundle.file(name), Path(model.path) / name)
    return tag
