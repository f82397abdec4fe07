"""JPEG files: Pillow decodes those of 8 bits a sample, the codec of DICOM frames the others.

Where the coded data end early, either decoder makes up the missing pixels. This module finds such films.

Sources: ITU-T T.81, F.2 and H.2 (decoding); T.871 (JFIF); T.872 (Adobe marker).
"""

import io
from typing import cast

import numpy as np
from PIL import Image, JpegImagePlugin

from service.film import grey
from service.film.arrays import Samples, Words
from service.film.errors import UnreadableImage, UnsupportedImage, damaged
from service.film.formats.jpeg.structure import Frame, Structure, read_structure, with_further_data
from service.film.limits import DecodeLimits
from service.film.opened_file import DecodedFile, OpenedFile
from service.film.picture import decode_picture

# Pixels times scans, since each scan is a pass over the whole film. More take longer than some tenths of a second.
COSTLY_PASSES_PX = 100_000_000
# Ten scans of the largest film: some seconds. More are refused.
MAX_PASSES_PX = 640_000_000

_BITS_OF_PILLOW = 8
_UNREAD_PROCESSES = {
    0xCB: "lossless with arithmetic coding",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "hierarchical"),
}


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnsupportedImage, UnreadableImage, UnsupportedFormat for JPEG-LS, or as `DecodeLimits.check_size`."""
    structure = read_structure(data)
    frame = _checked_frame(structure.frame)
    if structure.lacks_scans:
        raise UnreadableImage("The progressive JPEG file ends before the last of its scans; export the film again.")
    is_deep = frame.bits != _BITS_OF_PILLOW
    image = None if is_deep else _open_image(data, structure, frame)
    size = image.size if image else (frame.width_px, frame.height_px)
    limits.check_size(*size)
    scans, pixels = len(structure.scan_data), size[0] * size[1]
    if pixels * scans > MAX_PASSES_PX:
        raise UnsupportedImage(f"The JPEG file holds {scans} scans over {pixels} pixels; save it as a baseline JPEG.")

    def decode(side_px: int | None) -> DecodedFile:
        if image is None:
            return decode_picture(_decode_deep(data, structure, frame), size)
        if side_px is not None:
            image.reduce_to(side_px)
        return decode_picture(image, size)

    # Lossless films are decoded twice, at full scale; deep ones by a codec that a server keeps out of its own process.
    return OpenedFile(frame.is_lossless or is_deep or pixels * scans > COSTLY_PASSES_PX, decode)


def _checked_frame(frame: Frame | None) -> Frame:
    """Raise UnsupportedImage for an intact film that is not read, UnreadableImage for a file without a frame header."""
    if frame is None:
        raise damaged("JPEG")
    if frame.process in _UNREAD_PROCESSES:
        raise UnsupportedImage(
            f"The JPEG file is {_UNREAD_PROCESSES[frame.process]}, which is not read; save it as a baseline JPEG or as a PNG."
        )
    if not frame.height_px:  # a DNL segment after the first scan says it (T.81, B.2.5)
        raise UnsupportedImage("The JPEG file does not say its height in its header; save it as a baseline JPEG or as a PNG.")
    components = len(frame.components)
    if components not in ((1, 3, 4) if frame.bits == _BITS_OF_PILLOW else (1, 3)):
        raise UnsupportedImage(
            f"The JPEG file has {components} components of {frame.bits} bits; save it as a grey JPEG or as a PNG."
        )
    return frame


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's reader. Raises UnreadableImage on loading a film whose coded data end early."""

    frame: Frame
    _drafted: tuple[str, tuple[int, int]] | None = None

    def reduce_to(self, side_px: int) -> None:
        """Have the film decoded at 1/2, 1/4 or 1/8 scale, as long as both sides stay at least this long."""
        if not self.frame.is_lossless:
            # Not in grey: `mean_chroma` needs the colours. They cost some tenths of a millisecond, and the luminance is, to the
            # bit, what a grey decoding gives.
            self._drafted = "RGB" if is_stored_as_rgb(self) else "YCbCr", (side_px, side_px)
            self.draft(*self._drafted)

    def load_end(self) -> None:
        """Raises UnreadableImage if the coded data end before the last pixel."""
        corner = self.im.getpixel((self.width - 1, self.height - 1))
        if self.frame.may_end_early(corner if isinstance(corner, tuple) else (corner,)):
            data = cast(io.BytesIO, self.fp).getvalue()
            further = JpegImagePlugin.JpegImageFile(io.BytesIO(with_further_data(data, read_structure(data))))
            if self._drafted:
                further.draft(*self._drafted)
            if further.tobytes() != self.tobytes():
                raise _ends_early()


def is_stored_as_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether the components are red, green and blue instead of luminance and two colour differences, as libjpeg judges.

    A JFIF marker says that they are not, else Adobe's marker decides, else the components' names do.
    """
    if image.mode != "RGB" or "jfif" in image.info:
        return False
    if "adobe" in image.info:
        return bool(image.info.get("adobe_transform") == 0)
    return bytes(component[0] for component in image.layer) == b"RGB"


def _open_image(data: bytes, structure: Structure, frame: Frame) -> JpegFile:
    """Open the file without its metadata segments, which Pillow would parse."""
    starts = (0, *(segment.stop for segment in structure.metadata))
    ends = (*(segment.start for segment in structure.metadata), len(data))
    image = JpegFile(io.BytesIO(b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))))
    image.frame = frame
    return image


def _decode_deep(data: bytes, structure: Structure, frame: Frame) -> Image.Image:
    """A film of 2 to 7 or 9 to 16 bits a sample, grey or colour, scaled to 8 bits by the depth that its frame header says.

    A depth of 16 is that of the container, as in PNG and TIFF: see `grey.scale_table`. Raises UnreadableImage.
    """
    samples = samples_of(data)
    size = frame.height_px, frame.width_px
    if samples.shape != (size if len(frame.components) == 1 else (*size, len(frame.components))):
        raise UnreadableImage("The JPEG file does not decode to the size in its header; export the film again.")
    if not structure.is_ended or (frame.ends_with_data and lacks_data(data, structure, samples)):
        raise _ends_early()
    table = grey.scale_table(int(samples.max())) if frame.bits == 16 else grey.table_of_depth(frame.bits)
    image = Image.fromarray(grey.look_up(table, samples.astype(np.uint16, copy=False)))
    if structure.exif:
        image.info["exif"] = structure.exif
    return image


def lacks_data(data: bytes, structure: Structure, samples: Samples) -> bool:
    """Whether the coded data end before the last pixel. Not for arithmetic coding.

    structure, samples: those of the data.
    """
    return not np.array_equal(samples, samples_of(with_further_data(data, structure)))


def samples_of(data: bytes) -> Words:
    """The decoded samples, [H, W] or [H, W, components]. Raises UnreadableImage."""
    # Not at import: most films need no codec.
    import imagecodecs

    try:
        return cast(Words, imagecodecs.jpeg8_decode(data))
    except imagecodecs.Jpeg8Error as fault:
        raise damaged("JPEG") from fault


def _ends_early() -> UnreadableImage:
    return UnreadableImage("The JPEG file's coded data end before its last pixel; export the film again.")
