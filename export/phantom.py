"""Draws a synthetic chest film, the same for the same seed: for golden inputs, tests and benchmarks. No patient is in it."""

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels
from service.model.findings import Finding


def phantom_film(finding: Finding, seed: int, size_px: int = 512) -> GreyPixels:
    """Draw a frontal chest, uint8 [size_px, size_px], MONOCHROME2.

    Pneumonia adds a soft basal consolidation; tuberculosis adds apical nodules and a cavity (REPORT 3.1). A small network can
    separate the three; they resemble films only as far as tests need it.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32) / size_px
    film = 0.08 + 0.62 * _ellipse(x, y, 0.5, 0.60, 0.47, 0.62)
    lungs = np.zeros_like(film)
    for side in (-1.0, 1.0):
        centre_x = 0.5 + side * (0.20 + rng.uniform(-0.01, 0.01))
        lung = _ellipse(x, y, centre_x, 0.47, 0.145, 0.33)
        lungs = np.maximum(lungs, lung)
    film -= 0.42 * lungs
    film += 0.22 * _ellipse(x, y, 0.5, 0.5, 0.05, 0.7)
    film += 0.26 * _ellipse(x, y, 0.55, 0.64, 0.15, 0.15) * (1 - 0.3 * lungs)
    for rib in range(8):
        arc = y - (0.16 + 0.085 * rib) - 0.35 * (np.abs(x - 0.5) - 0.2) ** 2 - 0.12 * np.abs(x - 0.5)
        film += 0.07 * np.exp(-((arc / 0.011) ** 2)) * (np.abs(x - 0.5) < 0.4)
    side = float(rng.choice([-1.0, 1.0]))
    if finding is Finding.PNEUMONIA:
        film += 0.34 * lungs * np.exp(-(((x - 0.5 - side * 0.2) / 0.11) ** 2 + ((y - 0.66) / 0.12) ** 2))
    elif finding is Finding.TUBERCULOSIS:
        for _ in range(9):
            nx, ny = 0.5 + side * rng.uniform(0.12, 0.28), rng.uniform(0.2, 0.36)
            film += 0.28 * np.exp(-(((x - nx) / 0.022) ** 2 + ((y - ny) / 0.022) ** 2))
        radius = np.hypot(x - 0.5 - side * 0.2, y - 0.28)
        film += 0.24 * np.exp(-(((radius - 0.05) / 0.014) ** 2))
    film = film * rng.uniform(0.9, 1.1) + rng.uniform(-0.03, 0.03)
    film += cv2.GaussianBlur(rng.normal(0, 0.05, film.shape).astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.clip(film * 255 + 0.5, 0, 255), dtype=np.uint8)


def _ellipse(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], cx: float, cy: float, rx: float, ry: float
) -> npt.NDArray[np.float32]:
    """About 1 inside and 0 outside, with a soft edge."""
    level: npt.NDArray[np.float32] = 1.0 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2
    return 1.0 / (1.0 + np.exp(-np.clip(level * 14.0, -30, 30)))
