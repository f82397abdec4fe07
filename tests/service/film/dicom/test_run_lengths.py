"""Frames of run lengths (DICOM PS3.5 G), through the whole decoder."""

import struct

import numpy as np
import pytest
from pydicom.uid import RLELossless

from service.film.errors import UnreadableImage
from tests.support.compressed_dicom import FILLERS, compressed_dicom, frame_of, with_frame
from tests.support.encoded_films import assert_refused, dicom_dataset, dicom_file, film, pixels_of

DEEP = film().astype(np.uint16) * 16  # 12 bit
TWELVE = {"BitsStored": 12, "HighBit": 11}
PLAIN = pixels_of(dicom_file(DEEP, **TWELVE))
FRAME = frame_of(compressed_dicom(DEEP, RLELossless, **TWELVE))


def of_frame(frame: bytes, **attributes: object) -> bytes:
    return with_frame(dicom_dataset(DEEP, **TWELVE, **attributes), RLELossless, frame)


def run_length_segments(frame: bytes) -> list[bytes]:
    count, *starts = struct.unpack("<16I", frame[:64])
    return [frame[start:end] for start, end in zip(starts[:count], [*starts[1:count], len(frame)], strict=True)]


def run_length_frame(segments: list[bytes]) -> bytes:
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


@pytest.mark.parametrize("filler", FILLERS, ids=repr)
def test_padding_behind_every_run_length_segment_is_no_damage(filler):
    segments = run_length_segments(FRAME)
    data = of_frame(run_length_frame([each + filler for each in segments]))
    assert np.array_equal(pixels_of(data), PLAIN)


HIGH, LOW = run_length_segments(FRAME)
DAMAGED = {
    "beyond the declared size": of_frame(FRAME, Rows=128),
    "more runs": of_frame(run_length_frame([HIGH, LOW + b"\x05abcdef"])),
    "the end cut off": of_frame(run_length_frame([HIGH, LOW[:-40]])),
    "half a segment": of_frame(run_length_frame([HIGH[: len(HIGH) // 2], LOW])),
    "a segment missing": of_frame(run_length_frame([HIGH])),
    "a segment too many": of_frame(run_length_frame([HIGH, LOW, LOW])),
    "an empty segment": of_frame(run_length_frame([b"", LOW])),
    "a segment before the others": of_frame(FRAME[:8] + struct.pack("<I", 0) + FRAME[12:]),
    "a segment in the header": of_frame(FRAME[:8] + struct.pack("<I", 63) + FRAME[12:]),
    "a segment behind the frame": of_frame(FRAME[:8] + struct.pack("<I", 1 << 31) + FRAME[12:]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_run_lengths_that_are_no_film_of_this_size_are_unreadable(name):
    assert_refused(DAMAGED[name], UnreadableImage, "run lengths")


def test_run_lengths_keep_the_bits_of_native_samples():
    """PS3.5 G.2 encodes the samples' bytes as they are, overlays in unused bits and values at the top included."""
    overlay = DEEP.copy()
    overlay[30:60, 30:60] |= 0xF000
    low = DEEP + DEEP // 16 % 16  # a HighBit of 15 is not believed over values in the low bits
    signed = low.astype(np.int16) - 2048
    plain_low, plain_signed = (pixels_of(dicom_file(words, **TWELVE)) for words in (low, signed))
    cases = (overlay, 11, PLAIN), (DEEP << 4, 15, PLAIN), (low, 15, plain_low), (signed, 15, plain_signed)
    for words, high, expected in cases:
        data = compressed_dicom(words, RLELossless)
        data = data.replace(b"\x28\x00\x01\x01US\x02\x00\x10\x00", b"\x28\x00\x01\x01US\x02\x00\x0c\x00")
        data = data.replace(b"\x28\x00\x02\x01US\x02\x00\x0f\x00", b"\x28\x00\x02\x01US\x02\x00" + bytes([high, 0]))
        assert np.array_equal(pixels_of(data), expected)
