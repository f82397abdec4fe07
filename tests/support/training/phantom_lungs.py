"""Phantoms with lung masks."""

from pathlib import Path

import cv2
import numpy as np

from export.phantom import phantom_film
from service.model.findings import FINDINGS


def phantom_mask(size_px: int) -> np.ndarray:
    """Where a phantom's lungs are drawn, but for a jitter of a hundredth of the side."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    return np.any([((x - cx) / 0.145) ** 2 + ((y - 0.47) / 0.33) ** 2 < 1 for cx in (0.3, 0.7)], axis=0).astype(np.uint8)


def write_lung_films(folder: Path) -> Path:
    """Twenty phantoms of 200 px with masks and manifest.csv."""
    rows = ["image,mask,source"]
    for seed in range(20):
        cv2.imwrite(str(folder / f"film{seed:02}.png"), phantom_film(FINDINGS[seed % 3], seed, 200))
        cv2.imwrite(str(folder / f"mask{seed:02}.png"), phantom_mask(200) * 255)
        rows.append(f"film{seed:02}.png,mask{seed:02}.png,phantom")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
