"""Random changes of a film and its lung mask: the geometry of both, exposure and damage of the film alone."""

import cv2
import numpy as np

from service.film.arrays import GreyPixels
from training.config import AugmentConfig
from training.data.augmentation import affine, expose_and_damage

# Films of other hospitals differ from these in exposure, sharpness and borders. Erased patches stand for consolidations,
# effusions and devices, which healthy films lack: the network must continue the outline across them.
_APPEARANCE = AugmentConfig(
    brightness=0.35,
    contrast=0.4,
    clahe=0.2,
    gamma=1.9,
    equalise=0.1,
    degrade=0.5,
    jpeg=0.3,
    noise=10.0,
    erase=0.4,
    border=0.3,
)


def augment_pair(film: GreyPixels, mask: GreyPixels, rng: np.random.Generator) -> tuple[GreyPixels, GreyPixels]:
    """Film and mask, uint8 [S, S], after the same random mirroring, shift (up to 12 % of the side), zoom (0.7 to 1.35), change
    of aspect ratio (up to a factor of 1.25) and rotation (up to 15 degrees); the film's grey levels change too.
    """
    side = film.shape[0]
    angle = np.deg2rad(rng.uniform(-15.0, 15.0))
    zoom = np.exp(rng.uniform(np.log(0.7), np.log(1.35)))
    aspect = np.exp(rng.uniform(-0.5, 0.5) * np.log(1.25))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([flip * zoom * aspect, zoom / aspect])
    centre = np.full(2, (side - 1) / 2)
    matrix = affine(linear, centre, centre + rng.uniform(-0.12, 0.12, 2) * side)
    warped = cv2.warpAffine(film, matrix, (side, side), flags=cv2.INTER_LINEAR)
    warped_mask = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_NEAREST)
    return expose_and_damage(np.asarray(warped, dtype=np.uint8), _APPEARANCE, rng), np.asarray(warped_mask, dtype=np.uint8)
