"""Writes bundles: their files, the hash of each file, and the folder as a whole, which appears complete or not at all.

Knows which files a bundle has, not how their contents are computed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from export.phantom import phantom_film
from service.files import sync, write_json
from service.film.preprocessing import resize_stretched
from service.model.bundle import ModelBundle, sha256_of
from service.model.findings import FINDINGS
from service.model.manifest import MANIFEST_NAME, ModelManifest
from service.model.outliers import OutlierStatistics
from service.model.predictor import Predictor
from service.model.site_profile import SiteHead
from training.errors import ExportError

if TYPE_CHECKING:
    from training.network.classifier import Head

# What golden.npz records. Features are left out: they are 48 times larger than the rest, and the embedding is their mean.
GOLDEN_OUTPUTS = ("probabilities", "logits", "embedding")

# Two phantoms of each finding tell a wrong graph from a right one, and replay in a tenth of a second when a server starts.
GOLDEN_SEEDS = (1, 2)

# safetensors writes for the owner only, and a server runs as another user.
_FOR_EVERY_USER = 0o644


@contextmanager
def staged(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new empty folder beside `target` that becomes `target` when the block ends, or vanishes if it raises.

    Its files are flushed to the disk before it is renamed, so that a bundle is complete or absent after a kill or a power
    failure. replace: whether an existing `target` may be replaced; it stays until the new one is complete. Raises ExportError
    if `target` exists and may not be replaced.
    """
    if target.exists() and not replace:
        raise ExportError(f"{target} exists; raise the version, or pass --replace to overwrite it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside, because a rename is atomic only within one file system.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        staging, retired = Path(scratch, "new"), Path(scratch, "old")
        staging.mkdir()
        yield staging
        for path in (*staging.iterdir(), staging):
            sync(path)
        if target.exists():
            target.rename(retired)
        try:
            staging.rename(target)
        except OSError:
            if retired.exists():
                retired.rename(target)
            raise
        sync(target.parent)


@contextmanager
def staged_copy(bundle: ModelBundle, target: Path, *, replace: bool = False) -> Iterator[Path]:
    """As `staged`, with the bundle's files in the folder already: all but the manifest, which `seal` writes."""
    with staged(target, replace=replace) as folder:
        for name in bundle.manifest.files:
            shutil.copy2(bundle.file(name), folder / name)
        yield folder


def write_head(path: Path, head: "Head") -> None:
    """Save the classifier head under the tensor names of `HeadSpec`."""
    from safetensors import torch as safetensors_torch  # imports PyTorch, which the registry does not need

    # BatchNorm's batch counter serves training only.
    tensors = {
        name: tensor.contiguous() for name, tensor in head.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    safetensors_torch.save_file(tensors, path)
    path.chmod(_FOR_EVERY_USER)


def write_arrays(path: Path, arrays: OutlierStatistics | SiteHead) -> None:
    """Save arrays as safetensors, under the names of their fields."""
    # Contiguous, because safetensors writes the memory of an array whatever its strides say.
    save_file({name: np.ascontiguousarray(array) for name, array in vars(arrays).items()}, path)
    path.chmod(_FOR_EVERY_USER)


def write_golden(path: Path, predictor: Predictor, image_size_px: int) -> None:
    """Record the predictor's outputs for phantoms of GOLDEN_SEEDS, uint8 [6, image_size_px, image_size_px]."""
    films = [phantom_film(finding, seed) for seed in GOLDEN_SEEDS for finding in FINDINGS]
    images = np.stack([resize_stretched(film, image_size_px) for film in films])
    np.savez_compressed(path, allow_pickle=False, images=images, **predictor.predict(images, GOLDEN_OUTPUTS))


def seal(folder: Path, manifest: ModelManifest) -> ModelBundle:
    """Hash every file, write the manifest, and open the result as a server would."""
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST_NAME}
    sealed = ModelManifest.model_validate({**manifest.model_dump(), "files": files})
    write_json(folder / MANIFEST_NAME, sealed.model_dump(mode="json"))
    return ModelBundle.open(folder)


def is_registered(tag: str) -> bool:
    """Whether BentoML's model store holds this tag, name:version."""
    import bentoml  # takes two seconds, and configures logging

    return any(str(model.tag) == tag for model in bentoml.models.list())


def register(bundle: ModelBundle, *, replace: bool = False) -> str:
    """Copy a bundle into BentoML's model store and return its tag, name:version.

    Raises ExportError if the store holds that version and `replace` is not set.
    """
    import bentoml

    manifest = bundle.manifest
    tag = f"{manifest.name}:{manifest.version}"
    if is_registered(tag):
        if not replace:
            raise ExportError(f"BentoML's model store holds {tag}; raise the version, or `bentoml models delete {tag}` first.")
        bentoml.models.delete(tag)
    labels = {"architecture": manifest.architecture, "data-fingerprint": manifest.data_fingerprint[:16]}
    with bentoml.models.create(tag, labels=labels) as model:
        for name in (MANIFEST_NAME, *manifest.files):
            shutil.copy2(bundle.file(name), Path(model.path) / name)
    return tag
