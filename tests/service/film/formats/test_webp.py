"""WebP: what Pillow judges before our limits do."""

import struct

import pytest

from service.film.errors import ImageTooLarge
from tests.support.encoded_films import assert_refused, encode, film


@pytest.mark.parametrize("side", [0x3FFF, 12_000])
def test_a_webp_that_claims_more_pixels_than_can_be_decoded_is_too_large(side):
    """Pillow judges the size by a limit of its own before the header can be asked for it."""
    data = bytearray(encode(film(), "WEBP"))
    start_code = data.index(b"\x9d\x01\x2a")  # before width and height (RFC 6386, 9.1)
    data[start_code + 3 : start_code + 7] = struct.pack("<HH", side, side)
    assert_refused(bytes(data), ImageTooLarge)
