"""The films of a split as model inputs, decoded by the service's own code. Knows neither networks nor bundles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from service.contract.errors import EmptyClass, InputError
from service.contract.findings import FINDINGS
from service.contract.preprocessing import PreprocessSpec, decode, to_model_input
from training.folder import scan_folder


@dataclass(frozen=True)
class Films:
    """Films of one split.

    images: uint8 [N, S, S]. labels: int64 [N], index into `FINDINGS`. sizes_px: int64 [N, 2], width and height as stored.
    skipped: films that the service would refuse; training excludes them as well.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    sizes_px: npt.NDArray[np.int64]
    skipped: int


def read_films(data: Path, split: str, spec: PreprocessSpec, limit: int | None = None, seed: int = 0) -> Films:
    """Decode `data`/`split`, all of it or a subsample of `limit` films that depends on `seed` and the file names only.

    Raises DatasetNotFound or DatasetError for a folder that is not a data set, and EmptyClass if a finding has no readable
    film among those read.
    """
    files = [film for film in scan_folder(data) if film.split == split]
    if limit is not None and len(files) > limit:
        chosen = np.random.default_rng(seed).choice(len(files), size=limit, replace=False)
        files = [files[index] for index in sorted(chosen)]
    images, labels, sizes_px, skipped = [], [], [], 0
    for file in tqdm(files, desc=f"reading {split} films", unit="film"):
        try:
            radiograph = decode(file.path.read_bytes(), spec)
        except InputError:
            skipped += 1
            continue
        images.append(to_model_input(radiograph, spec))
        labels.append(FINDINGS.index(file.finding))
        sizes_px.append((radiograph.width_px, radiograph.height_px))
    missing = [finding for index, finding in enumerate(FINDINGS) if index not in labels]
    if missing:
        raise EmptyClass(
            f"{data / split} has no readable film of {', '.join(missing)}; calibration needs some of each finding."
        )
    return Films(np.stack(images), np.array(labels, np.int64), np.array(sizes_px, np.int64), skipped)
