"""JPEG before decoding: files made to be slow, and what the three components are.

Sources: ITU-T T.81, B.1.1 (markers and segments); T.871 (JFIF); T.872 (Adobe marker).
"""

import re

from PIL import JpegImagePlugin

from service.contract.errors import UnreadableImage, UnsupportedImage

# libjpeg's own progressive script has 10 scans, and each is decoded over the whole film.
MAX_SCANS = 50
# A profile fills up to 255 segments; a progressive film adds a few tables to each scan.
MAX_SEGMENTS = 1000
# One holds 64 KiB. Pillow joins them one by one, copying all before.
MAX_EXIF_SEGMENTS = 8
# Pillow steps over these one by one until the first scan.
MAX_STRAY_BYTES = 65_536

# In coded data FF 00 is a data byte, FF D0 to FF D7 a restart and FF FF a fill byte.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
# Markers after which Pillow reads no length: TEM, JPG, SOI, EOI and JPG0 to JPG13.
_WITHOUT_LENGTH = frozenset((0x01, 0xC8, 0xD8, _END_OF_IMAGE, *range(0xF0, 0xFE)))


# Ten scans over the largest film: some seconds, which a server spends outside of its own process.
MAX_PASSES = 640_000_000


def check_passes(pixels: int, scans: int) -> None:
    """Raise UnsupportedImage if so many scans over so many pixels would take too long."""
    if pixels * scans > MAX_PASSES:
        raise UnsupportedImage(f"The JPEG file holds {scans} scans over {pixels} pixels; save it as a baseline JPEG.")


def check_segments(data: bytes) -> int:
    """Judge the file's structure, and count its scans. Damage after the start of the first scan is left to the decoder to find.

    Raises UnsupportedImage for more scans, segments or stray bytes than films have, UnreadableImage for a file without a scan.
    """
    segments = scans = exif_segments = stray_bytes = position = 0
    while marker := _MARKER.search(data, position):
        if not scans:
            stray_bytes += marker.start() - position
        position = marker.end()
        code = marker[1][0]
        if scans and code == _END_OF_IMAGE:
            return scans
        segments += 1
        scans += code == _START_OF_SCAN
        if code not in _WITHOUT_LENGTH:
            exif_segments += code == _APP1 and data[position + 2 : position + 8] == b"Exif\0\0"
            position += int.from_bytes(data[position : position + 2], "big")
        if scans > MAX_SCANS:
            raise UnsupportedImage(f"The JPEG file holds more than {MAX_SCANS} scans; save it as a baseline JPEG.")
        if segments > MAX_SEGMENTS or exif_segments > MAX_EXIF_SEGMENTS or stray_bytes > MAX_STRAY_BYTES:
            raise UnsupportedImage(
                f"The JPEG file holds more than {MAX_SEGMENTS} segments, {MAX_EXIF_SEGMENTS} segments of EXIF data or "
                f"{MAX_STRAY_BYTES} bytes between segments; save it without metadata."
            )
    if not scans:
        raise UnreadableImage("The JPEG file is damaged or truncated (it holds no scan); export the film again.")
    return scans


def is_stored_as_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether the components are red, green and blue instead of luminance and two colour differences, as libjpeg judges.

    A JFIF marker says that they are not, else Adobe's marker decides, else the components' names do.
    """
    if image.mode != "RGB" or "jfif" in image.info:
        return False
    if "adobe" in image.info:
        return bool(image.info.get("adobe_transform") == 0)
    return bytes(component[0] for component in image.layer) == b"RGB"
