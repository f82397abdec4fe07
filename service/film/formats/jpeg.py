"""JPEG files as Pillow images: those of 8 bits a sample, by Pillow, and the others, by the codec that decodes DICOM frames.

Either decoder makes up what is missing where the coded data end early. Here such a film is found out.

Source: ITU-T T.81, F.2 and H.2 (decoding).
"""

import io
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, JpegImagePlugin

from service.film import grey
from service.film.errors import UnreadableImage
from service.film.formats import jpeg_structure as jpeg

_BITS_OF_PILLOW = 8


def open_file(data: bytes, structure: jpeg.Structure) -> "JpegFile | DeepJpegFile":
    """The film of a file that `jpeg` has judged, not yet decoded."""
    jpeg.check_frame(structure.frame)
    frame = cast(jpeg.Frame, structure.frame)
    if structure.lacks_scans:
        raise UnreadableImage("The progressive JPEG file ends before the last of its scans; export the film again.")
    if frame.bits != _BITS_OF_PILLOW:
        return DeepJpegFile(io.BytesIO(data))
    image = JpegFile(io.BytesIO(_without(structure.metadata, data)))
    image.frame = frame
    return image


def _without(segments: tuple[slice, ...], data: bytes) -> bytes:
    if not segments:
        return data
    starts, ends = (0, *(segment.stop for segment in segments)), (*(segment.start for segment in segments), len(data))
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))


def is_slow(frame: jpeg.Frame) -> bool:
    """Whether the film is decoded twice, at full scale, or by a codec that a server keeps out of its own process."""
    return frame.is_lossless or frame.bits != _BITS_OF_PILLOW


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's reader. Raises UnreadableImage on loading a film whose coded data end early."""

    frame: jpeg.Frame
    _drafted: tuple[str, tuple[int, int]] | None = None

    def reduce_to(self, side_px: int) -> None:
        """Have the film decoded at 1/2, 1/4 or 1/8 scale, as long as both sides stay at least this long."""
        if not self.frame.is_lossless:
            # The luminance is what a grey decoding gives, to the bit; the colours cost some tenths of a millisecond.
            self._drafted = "RGB" if jpeg.is_stored_as_rgb(self) else "YCbCr", (side_px, side_px)
            self.draft(*self._drafted)

    def load_end(self) -> None:
        """Raises UnreadableImage if the coded data end before the last pixel."""
        corner = self.im.getpixel((self.width - 1, self.height - 1))
        if jpeg.may_end_early(self.frame, corner if isinstance(corner, tuple) else (corner,)):
            data = _bytes_of(self)
            further = JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg.with_further_data(data, jpeg.check_segments(data))))
            if self._drafted:
                further.draft(*self._drafted)
            if further.tobytes() != self.tobytes():
                raise _ends_early()


class DeepJpegFile(ImageFile.ImageFile):
    """A film of 2 to 7 or 9 to 16 bits a sample, grey or colour, scaled to 8 bits by the depth that its frame header says.

    A depth of 16 is that of the container, as in PNG and TIFF: see `grey.scale_table`. Loading raises UnreadableImage.
    """

    format = "JPEG"
    structure: jpeg.Structure
    frame: jpeg.Frame

    def _open(self) -> None:
        self.structure = jpeg.check_segments(_bytes_of(self))
        self.frame = cast(jpeg.Frame, self.structure.frame)
        self._size = self.frame.width_px, self.frame.height_px
        self._mode = "L" if len(self.frame.components) == 1 else "RGB"
        if self.structure.exif:
            self.info["exif"] = self.structure.exif

    def load(self) -> Any:
        """Decode the film, once."""
        if self._im is None:
            self.im = Image.fromarray(self._decoded()).im
        return Image.Image.load(self)

    def _decoded(self) -> npt.NDArray[np.uint8]:
        data = _bytes_of(self)
        samples = samples_of(data)
        if samples.shape[:2] != (self.height, self.width) or samples.ndim != (2 if self.mode == "L" else 3):
            raise UnreadableImage("The JPEG file does not decode to its own size; export the film again.")
        if not self.structure.is_ended or (self.frame.ends_with_data and lacks_data(data, self.structure, samples)):
            raise _ends_early()
        bits = self.frame.bits
        table = grey.scale_table(int(samples.max())) if bits == 16 else grey.table_of_depth(bits)
        return grey.look_up(table, samples.astype(np.uint16, copy=False))


def lacks_data(data: bytes, structure: jpeg.Structure, samples: npt.NDArray[np.uint8 | np.uint16]) -> bool:
    """Whether the coded data end before the last pixel. structure, samples: of them. Not for arithmetic coding."""
    return not np.array_equal(samples, samples_of(jpeg.with_further_data(data, structure)))


def samples_of(data: bytes) -> npt.NDArray[np.uint8 | np.uint16]:
    """The decoded samples, [H, W] or [H, W, components]. Raises UnreadableImage."""
    # Not at import: most films need no codec.
    import imagecodecs

    try:
        return cast(npt.NDArray[np.uint8 | np.uint16], imagecodecs.jpeg8_decode(data))
    except imagecodecs.Jpeg8Error as fault:
        raise UnreadableImage("The JPEG file is damaged or truncated; export the film again.") from fault


def _bytes_of(image: ImageFile.ImageFile) -> bytes:
    return cast(io.BytesIO, image.fp).getvalue()


def _ends_early() -> UnreadableImage:
    return UnreadableImage("The JPEG file's coded data end before its last pixel; export the film again.")
