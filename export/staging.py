"""Bundles become visible whole: written beside their place, on the disk, then renamed. Knows nothing of what is in them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.model.bundle import ModelBundle
from training.errors import ExportError


@contextmanager
def staged(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A new empty folder beside `target` that becomes `target` when the block ends, or vanishes if it raises.

    Its files are on the disk before it has its name, so that a bundle is whole or not there, whatever is killed or loses power.
    replace: whether an existing `target` may be replaced; it stays whole until the new one is. Raises ExportError if not.
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
            _sync(path)
        if target.exists():
            target.rename(retired)
        try:
            staging.rename(target)
        except OSError:
            if retired.exists():
                retired.rename(target)
            raise
        _sync(target.parent)


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staged_copy(bundle: ModelBundle, target: Path, *, replace: bool = False) -> Iterator[Path]:
    """As `staged`, with the bundle's files in the folder already: all but the manifest, which `seal` writes."""
    with staged(target, replace=replace) as folder:
        for name in bundle.manifest.files:
            shutil.copy2(bundle.file(name), folder / name)
        yield folder
