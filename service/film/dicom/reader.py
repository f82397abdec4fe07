"""DICOM files: opens them, and shows their pixels as a display does.

Source: DICOM PS3.3 C.11.2 (VOI LUT).
"""

import numpy as np

from service.film.arrays import Samples
from service.film.dicom.display import Display
from service.film.dicom.file import inflated, is_deflated
from service.film.dicom.frame import decode_frame
from service.film.dicom.header import DicomHeader, read_header
from service.film.dicom.samples import native_words, values_of
from service.film.errors import UnreadableImage, UnsupportedDicom
from service.film.limits import DecodeLimits
from service.film.opened_file import COSTLY_PIXELS, DecodedFile, OpenedFile


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnreadableImage, UnsupportedDicom or as `DecodeLimits.check_size`; for a deflated file, only decoding raises."""
    if is_deflated(data):  # its header can only be read once it is inflated, which takes long
        return OpenedFile(True, lambda _: _decode(_read_header(inflated(data, limits.max_pixels), limits)))
    header = _read_header(data, limits)
    is_costly = header.syntax.is_compressed or header.width_px * header.height_px > COSTLY_PIXELS
    return OpenedFile(is_costly, lambda _: _decode(header))


def _read_header(data: bytes, limits: DecodeLimits) -> DicomHeader:
    header = read_header(data)
    limits.check_size(header.width_px, header.height_px)
    return header


def _decode(header: DicomHeader) -> DecodedFile:
    """Pixels as a display shows them: modality LUT, VOI LUT or window, then MONOCHROME2 polarity.

    A VOI LUT or window spreads its own output range from black to white (PS3.3 C.11.2), whatever part of it the film uses.
    Without one the full range of values present is shown. Raises UnreadableImage or UnsupportedDicom.
    """
    try:
        display = Display.from_header(header.dataset, header.layout, background=255 if header.is_negative else 0)
        pixels = display.show(_stored_values(header))
    except (UnsupportedDicom, UnreadableImage):
        raise
    except Exception as fault:  # whatever pydicom and the codecs raise on files that contradict themselves
        raise UnreadableImage(
            "The DICOM pixels cannot be read: they are damaged or do not match the header; export the film again."
        ) from fault
    return DecodedFile(
        np.subtract(255, pixels, out=pixels) if header.is_negative else pixels,
        header.width_px,
        header.height_px,
        header.exif_orientation or 1,
        is_orientation_stated=header.exif_orientation is not None,
        denies_frontal_chest=header.denies_frontal_chest,
        display_fault=display.fault,
    )


def _stored_values(header: DicomHeader) -> Samples:
    element, shape = header.dataset["PixelData"], (header.height_px, header.width_px)
    if header.syntax.is_compressed:
        return decode_frame(element.value, header.syntax, header.layout, shape)
    if element.is_undefined_length:  # which is how compressed pixels are encapsulated (PS3.5 A.4)
        raise UnreadableImage(
            f"The DICOM pixels are compressed, but their transfer syntax ({header.syntax.name}) is that of uncompressed ones; "
            "export the film again."
        )
    is_big_endian = not header.syntax.is_little_endian
    words = native_words(element.value, header.layout, shape, big_endian=is_big_endian, in_words=element.VR == "OW")
    return values_of(words, header.layout)
