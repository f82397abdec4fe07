"""Difference hashes: they find copies of a film after re-encoding, rescaling or a change of brightness."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels

HASH_BITS = 256

Hash = npt.NDArray[np.uint64]

# Rows of the distance matrix that are computed at once. For 25,000 films, 256 x 25,000 x 8 bytes are 50 MB.
_BLOCK = 256


def thumbnail(pixels: GreyPixels) -> GreyPixels:
    """uint8 [H, W] -> uint8 [16, 17], area-averaged. 16 differences of neighbours in a row take 17 columns."""
    return np.asarray(cv2.resize(pixels, (17, 16), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def difference_hash(small: GreyPixels) -> Hash:
    """Thumbnail uint8 [16, 17] -> uint64 [4]: one bit for each pair of neighbours in a row, set if the right one is brighter.

    After N. Krawetz, "Kind of Like That", 2013, with more bits. The hash of a nearly constant film is noise; do not compare it.
    """
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


def close_pairs(hashes: Hash, max_distance_bits: int) -> Iterator[tuple[int, int, int]]:
    """All (i, j, Hamming distance) with i < j and a distance of at most `max_distance_bits`; hashes uint64 [N, 4]."""
    for start in range(0, len(hashes), _BLOCK):
        rows, others = hashes[start : start + _BLOCK], hashes[start:]
        # uint16: the 256 differing bits of a negative overflow the uint8 of bitwise_count.
        distance = np.zeros((len(rows), len(others)), dtype=np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(rows[:, None, word] ^ others[None, :, word])
        for i, j in zip(*np.nonzero(distance <= max_distance_bits), strict=True):
            if i < j:
                yield start + int(i), start + int(j), int(distance[i, j])
