import cv2
import numpy as np

from export.phantom import phantom_film
from service.model.findings import Finding
from training.data.duplicates import HASH_BITS, close_pairs, difference_hash, thumbnail


def distance_bits(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(difference_hash(thumbnail(a)) ^ difference_hash(thumbnail(b))).sum())


def test_a_degraded_copy_stays_close_and_a_mirrored_film_does_not() -> None:
    film = phantom_film(Finding.PNEUMONIA, 3, 512)
    smaller = cv2.resize(film, (200, 200), interpolation=cv2.INTER_AREA)
    degraded = cv2.imdecode(cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE)
    brighter = (255 * (degraded / 255.0) ** 0.7).astype(np.uint8)
    assert distance_bits(film, brighter) <= 14
    assert distance_bits(film, film[:, ::-1]) > 14


def test_a_negative_differs_in_nearly_every_bit() -> None:
    film = phantom_film(Finding.NORMAL, 1, 256)
    assert distance_bits(film, 255 - film) > 240


def test_close_pairs_are_those_of_a_full_comparison_across_blocks() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (600, HASH_BITS), dtype=np.uint8)
    for copy, original, flipped in ((1, 0, 14), (599, 2, 3), (300, 299, 15), (512, 511, 0), (257, 255, HASH_BITS)):
        bits[copy] = bits[original]
        bits[copy, :flipped] ^= 1
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    assert sorted(close_pairs(hashes, 14)) == [(0, 1, 14), (2, 599, 3), (511, 512, 0)]


def test_no_hashes_have_no_pairs() -> None:
    assert list(close_pairs(np.empty((0, 4), dtype=np.uint64), 14)) == []
