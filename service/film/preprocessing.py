"""The only path from pixels to model input, shared by training, evaluation, export and service."""

from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.film.arrays import GreyPixels
from service.film.film import Radiograph
from service.film.limits import DecodeLimits


class PreprocessSpec(BaseModel):
    """How a film becomes the model's input. Travels in the manifest, so that an old bundle keeps its old path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    image_size_px: int = Field(default=224, ge=32, le=1024)  # side of the square that the model sees
    # Shortest side to which a JPEG may be reduced while decoding; at least image_size_px, so that no reduced film is enlarged
    # again. Training resizes to a larger side before its random crop and sets this to that side or above.
    decode_side_px: int = Field(default=256, ge=32, le=2048)
    # "stretch" maps the whole film to the square (REPORT Table 7): nothing is cut off and no border is added
    resize: Literal["stretch"] = "stretch"

    @model_validator(mode="after")
    def _a_reduced_film_is_not_enlarged_again(self) -> "PreprocessSpec":
        if self.decode_side_px < self.image_size_px:
            raise ValueError(
                f"decode_side_px {self.decode_side_px} is below image_size_px {self.image_size_px}: a film would be reduced "
                f"while decoding and then enlarged; set decode_side_px to {self.image_size_px} or more"
            )
        return self


def decode(data: bytes, spec: PreprocessSpec, limits: DecodeLimits | None = None) -> Radiograph:
    """Bytes -> Radiograph as `spec` wants it decoded. Raises InputError."""
    return Radiograph.from_bytes(data, decode_side_px=spec.decode_side_px, limits=limits)


def to_model_input(radiograph: Radiograph, spec: PreprocessSpec) -> GreyPixels:
    """uint8 [H, W] -> uint8 [image_size_px, image_size_px]. Scaling and normalisation happen inside the graph."""
    return resize_stretched(radiograph.pixels, spec.image_size_px)


def resize_stretched(pixels: GreyPixels, size_px: int) -> GreyPixels:
    """Stretch uint8 [H, W] to uint8 [size_px, size_px]: area-averaged when shrinking (no aliasing), else bilinear."""
    height, width = pixels.shape
    if (height, width) == (size_px, size_px):
        return pixels.copy()
    shrinks = height >= size_px and width >= size_px
    resized = cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)
