"""How the samples of a DICOM image hold its values: the Image Pixel module's bits.

Sources: DICOM PS3.3 C.7.6.3.1 (bits, pixel representation), C.7.5.1.1.2 (padding); PS3.5 8.1.1 (native pixel data), D (big
endian).
"""

from dataclasses import dataclass

import numpy as np

from service.film.arrays import Samples
from service.film.errors import UnreadableImage, UnsupportedDicom


@dataclass(frozen=True)
class SampleLayout:
    """Bits of a sample."""

    bits_allocated: int  # 8, 16 or 32
    bits_stored: int  # how many of them hold the value
    high_bit: int  # number of the highest of these
    is_signed: bool  # whether the value is in two's complement

    @property
    def lowest(self) -> int:
        """The smallest value that a sample can hold."""
        return -(1 << (self.bits_stored - 1)) if self.is_signed else 0

    @property
    def highest(self) -> int:
        """The largest value that a sample can hold."""
        return (1 << (self.bits_stored - self.is_signed)) - 1

    def holds(self, value: int) -> bool:
        """Whether a sample can have this value."""
        return self.lowest <= value <= self.highest

    def padding_value(self, written: int) -> int:
        """A Pixel Padding Value or Range Limit as a stored value. written: read as US or SS, whichever the writer chose.

        Its sign is that of the samples (C.7.5.1.1.2), and it takes 16 bits. Some writers of fewer stored bits do not extend its
        sign to 16.
        """
        word = written & 0xFFFF
        value = sign_extended(word, 16) if self.is_signed else word
        if not self.holds(value) and word < 1 << self.bits_stored:
            return sign_extended(word, self.bits_stored)
        return value


def sign_extended(word: int, bits: int) -> int:
    """An unsigned word of `bits` bits, read as two's complement."""
    return word - (1 << bits) if word >> (bits - 1) & 1 else word


def native_words(data: bytes, layout: SampleLayout, shape: tuple[int, int], *, big_endian: bool, in_words: bool) -> Samples:
    """Samples of uncompressed PixelData, [H, W]; bytes behind them are padding. Raises UnreadableImage.

    in_words: whether the VR is OW, in which big endian swaps each two samples of 8 bits as well.
    """
    bytes_each = layout.bits_allocated // 8
    count = shape[0] * shape[1]
    if len(data) < count * bytes_each:
        raise UnreadableImage(
            f"The DICOM file holds {len(data)} bytes of pixels, which do not match the header: {shape[1]} x {shape[0]} px of "
            f"{bytes_each} bytes; export the film again."
        )
    if big_endian and in_words and bytes_each == 1:
        data = np.frombuffer(data, ">u2", count=len(data) // 2).astype("<u2").tobytes()
    kind = np.dtype(f"{'i' if layout.is_signed else 'u'}{bytes_each}").newbyteorder(">" if big_endian else "<")
    return np.frombuffer(data, kind, count=count).reshape(shape)


def values_of(words: Samples, layout: SampleLayout) -> Samples:
    """The values that native samples hold. The bits beside them may hold overlays (PS3.5 8.1.1, and retired 8.1.2).

    Raises UnsupportedDicom.
    """
    allocated, stored = layout.bits_allocated, layout.bits_stored
    if stored == allocated:
        return words
    shift = _lowest_bit(words, layout)
    values: Samples = words.astype(words.dtype.newbyteorder("="), copy=True)
    # Up to the sign bit and back again: this clears the other bits and extends the sign.
    np.left_shift(values, allocated - stored - shift, out=values)
    return np.right_shift(values, allocated - stored, out=values)


def _lowest_bit(words: Samples, layout: SampleLayout) -> int:
    """The lowest bit of the values: as HighBit says, unless the samples show that it is wrong. Raises UnsupportedDicom.

    HighBit is wrong if it leaves set bits below the values, and the lowest bits of every sample would hold its value: some
    devices always write 15.
    """
    declared = layout.high_bit + 1 - layout.bits_stored
    is_possible = 0 <= declared <= layout.bits_allocated - layout.bits_stored
    if is_possible and (declared == 0 or not np.bitwise_and(words, (1 << declared) - 1).any()):
        return declared
    smallest, largest = int(words.min()), int(words.max())
    # Above a negative value, writers extend its sign through the sample, or leave zeros.
    if (layout.holds(smallest) and layout.holds(largest)) or 0 <= smallest <= largest < 1 << layout.bits_stored:
        return 0
    if is_possible:
        return declared
    raise UnsupportedDicom(
        f"The DICOM image's HighBit of {layout.high_bit} is impossible for {layout.bits_stored} stored bits out of "
        f"{layout.bits_allocated}; send the film with a HighBit of {layout.bits_stored - 1}."
    )
