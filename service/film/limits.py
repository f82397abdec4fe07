"""Limits on a film's size, checked before any pixel is decoded."""

from dataclasses import dataclass

from service.film.errors import AspectRatioTooExtreme, ImageTooLarge, ImageTooSmall


@dataclass(frozen=True)
class DecodeLimits:
    """The sizes that are accepted (REPORT Table 4)."""

    min_side_px: int = 100  # least length of the shorter side
    max_pixels: int = 64_000_000  # most pixels; a 14x17 inch plate at 0.05 mm pitch has about 61 million
    max_aspect_ratio: float = 3.0  # longer side over shorter side

    def check_size(self, width_px: int, height_px: int) -> None:
        """Raise ImageTooLarge, ImageTooSmall or AspectRatioTooExtreme for a size outside the limits."""
        shortest, longest = sorted((width_px, height_px))
        if width_px * height_px > self.max_pixels:
            raise ImageTooLarge(
                f"The image has {width_px} x {height_px} pixels, over the limit of {self.max_pixels}; send a smaller copy."
            )
        if shortest < self.min_side_px:
            raise ImageTooSmall(
                f"The image is {width_px} x {height_px} px; its shorter side must have at least {self.min_side_px} px."
            )
        if longest > self.max_aspect_ratio * shortest:
            raise AspectRatioTooExtreme(
                f"The image is {width_px} x {height_px} px, an aspect ratio of {longest / shortest:.2f}:1; "
                f"crop it to the chest, at most {self.max_aspect_ratio:g}:1."
            )
