"""PNG files: finds pixel data that end early, keeps the depth of 16-bit colour, and limits chunks.

Source: PNG specification, third edition, 5.2 to 5.6 (chunks), 8 (interlacing), 11.2 (IHDR, IDAT, IEND), 11.3.3 (text) and 12.3
(animation).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import cast

import cv2
import numpy as np
from PIL import PngImagePlugin

from service.film import grey
from service.film.arrays import DeepPixels, GreyPixels
from service.film.errors import UnreadableImage, UnsupportedImage, damaged
from service.film.limits import DecodeLimits
from service.film.opened_file import OpenedFile
from service.film.picture import open_picture

# A film of 40 MiB in chunks of 8 KiB, libpng's habit, has about 5000. Each costs Pillow microseconds, however empty.
MAX_CHUNKS = 50_000

# Pillow inflates no text beyond this.
MAX_TEXT_BYTES = PngImagePlugin.MAX_TEXT_CHUNK

_SIGNATURE_BYTES = 8
_AROUND_DATA_BYTES = 12  # length and name before, CRC after
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_WITH_COLOUR_OR_ALPHA = (2, 4, 6)

# Chunks that pixels depend on.
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
# Texts that may contain an orientation: EXIF as ImageMagick writes it, and XMP.
_ORIENTATION_KEYWORDS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")

_MOST_FRAMES = 0x80000000


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises as `film_only` and `DecodeLimits.check_size`."""
    film = film_only(data)
    image = PngFile(io.BytesIO(film))
    depth, colour_type = film[24:26]
    if depth < 16 or colour_type not in _WITH_COLOUR_OR_ALPHA:
        return open_picture(image, limits)

    # Of 16-bit samples with colour or alpha Pillow keeps the high byte only.
    def to_grey(image: PngFile) -> GreyPixels:
        size = image.size
        image.close()  # frees its pixels before the deeper ones are decoded
        deep = decode_deep_colour(film, *size)
        return grey.look_up(grey.scale_table(int(deep.max())), deep)

    return open_picture(image, limits, to_grey=to_grey)


def film_only(data: bytes) -> bytes:
    """The file without the chunks that change neither pixels nor orientation: texts, profiles and animation data.

    Damage in such a chunk then does not matter.

    Raises UnsupportedImage for an animation and for so many chunks that reading them would take seconds, UnreadableImage if a
    chunk of the pixels is cut off or does not match its checksum.
    """
    pieces = [data[:_SIGNATURE_BYTES]]
    frames = text_bytes = 0
    seen = set()
    for count, (name, chunk) in enumerate(_chunks(data), start=1):
        if count > MAX_CHUNKS:
            raise UnsupportedImage(f"The PNG file is cut into more than {MAX_CHUNKS} chunks; save it again with larger ones.")
        if name == b"CgBI":
            raise UnsupportedImage(
                "The PNG file is of Apple's own kind (CgBI), which only Apple's devices show; save it as plain PNG."
            )
        if name == b"acTL":  # ignored, as browsers do, if there are two of them, or if it names no or too many frames
            frames = int.from_bytes(data[chunk.start + 8 : chunk.start + 12], "big")
            frames = frames if name not in seen and frames <= _MOST_FRAMES else 0
        if name == b"IHDR" and name in seen:
            raise UnreadableImage("The PNG file has more than one header; export the film again.")
        # Without a frame header before them, the pixels are a separate picture beside the animation.
        if name == b"IDAT" and name not in seen and frames + (frames == 1 and b"fcTL" not in seen) > 1:
            raise UnsupportedImage("The PNG file holds more than one frame or page; send one film per file.")
        seen.add(name)
        if name in _PIXEL_CHUNKS:
            if chunk.stop > len(data) or not _is_sound(data, chunk):
                raise damaged("PNG")
            pieces.append(data[chunk])
        elif chunk.stop <= len(data) and _may_hold_orientation(name, data, chunk) and _is_sound(data, chunk):
            text_bytes += _inflated_bytes(name, data[chunk.start + 8 : chunk.stop - 4], MAX_TEXT_BYTES - text_bytes)
            if text_bytes > MAX_TEXT_BYTES:
                raise UnsupportedImage(f"The PNG file holds over {MAX_TEXT_BYTES} bytes of metadata; save it without them.")
            pieces.append(data[chunk])
    return b"".join(pieces)


def _is_sound(data: bytes, chunk: slice) -> bool:
    checksum = int.from_bytes(data[chunk.stop - 4 : chunk.stop], "big")
    return zlib.crc32(memoryview(data)[chunk.start + 4 : chunk.stop - 4]) == checksum


def _may_hold_orientation(name: bytes, data: bytes, chunk: slice) -> bool:
    is_text = name in _TEXT_CHUNKS and data.startswith(_ORIENTATION_KEYWORDS, chunk.start + 8)
    return is_text or name == b"eXIf"


def _inflated_bytes(name: bytes, body: bytes, most: int) -> int:
    """Length of a compressed text, at most `most` + 1; 0 for anything else."""
    rest = body.partition(b"\0")[2]
    compressed = b""
    if name == b"zTXt":
        compressed = rest[1:]
    elif name == b"iTXt" and rest[:1] == b"\1":
        compressed = rest[2:].split(b"\0", 2)[-1]  # behind language and translated keyword
    try:
        return len(zlib.decompressobj().decompress(compressed, most + 1))
    except zlib.error:
        return 0


class PngFile(PngImagePlugin.PngImageFile):
    """Pillow's reader. Raises UnreadableImage on loading a film whose pixel data end early; Pillow leaves its rest black.

    The pixel that is decoded last is marked beforehand. A mark that is still there was not overwritten, unless the film ends
    with that value; then the film is decoded again with another mark.
    """

    mark = 90  # a grey value that few films end with

    def load_prepare(self) -> None:
        """Mark the last pixel."""
        super().load_prepare()
        self.im.putpixel(self._last, self._marks if len(self._marks) > 1 else self.mark)

    def load_end(self) -> None:
        """Raises UnreadableImage if rows are missing."""
        if self.im.getpixel(self._last) in (self.mark, self._marks):
            if self.mark != PngFile.mark:
                raise UnreadableImage("The PNG file's pixel data end before its last row; export the film again.")
            again = PngFile(io.BytesIO(cast(io.BytesIO, self._fp).getvalue()))
            again.mark = PngFile.mark + 1
            again.load()
        super().load_end()

    @property
    def _marks(self) -> tuple[int, ...]:
        return (self.mark,) * len(self.getbands())

    @property
    def _last(self) -> tuple[int, int]:
        """Column and row: the last pass of an interlaced film has the odd rows (8.2)."""
        return self.width - 1, self.height // 2 * 2 - 1 if self.info.get("interlace") else self.height - 1


def decode_deep_colour(data: bytes, width_px: int, height_px: int) -> DeepPixels:
    """16-bit samples -> grey, uint16 [height_px, width_px]. Colour is weighted by ITU-R BT.601, alpha is dropped.

    data: as `film_only` gives it. width_px, height_px: the size that was checked against the limits. Raises UnreadableImage.
    """
    # Pixels only: the decoder would weight colour by the file's gamma, and print names of profiles.
    pixels_only = [data[:_SIGNATURE_BYTES]]
    pixels_only += [data[chunk] for name, chunk in _chunks(data) if name in (b"IHDR", b"IDAT")]
    pixels_only.append(_END)  # a film without it is complete
    file = np.frombuffer(b"".join(pixels_only), dtype=np.uint8)
    pixels = cv2.imdecode(file, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape != (height_px, width_px):
        raise UnreadableImage("The PNG file's 16-bit colour samples cannot be decoded; export the film in 16 bit grey.")
    return np.asarray(pixels, dtype=np.uint16)


def _chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """Name and position of each chunk, including its length, name and CRC, up to IEND or the end of the file."""
    start, name = _SIGNATURE_BYTES, b""
    while name != b"IEND" and start + _AROUND_DATA_BYTES <= len(data):
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + _AROUND_DATA_BYTES + length
        yield name, slice(start, end)
        start = end
