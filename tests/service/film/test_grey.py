import numpy as np
import pytest

from service.film.grey import look_up, scale_table


def scaled_in_floating_point(values: np.ndarray) -> np.ndarray:
    """What the table stands for, value by value."""
    bits = next(bits for bits in (8, 10, 12, 14, 16) if int(values.max()) < 1 << bits)
    return (values.astype(np.int64) * (255.0 / ((1 << bits) - 1)) + 0.5).astype(np.uint8)


@pytest.mark.parametrize("largest", [0, 1, 255, 256, 1023, 1024, 4095, 4096, 16_383, 16_384, 65_535])
def test_every_value_is_scaled_by_the_smallest_depth_that_holds_the_largest(largest):
    values = np.arange(largest + 1, dtype=np.uint16).reshape(1, -1)
    assert np.array_equal(look_up(scale_table(largest), values), scaled_in_floating_point(values))


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_values_are_looked_up_in_either_byte_order(byte_order):
    values = np.arange(60_000, 60_200, dtype=np.uint16).reshape(10, 20)
    table = (np.arange(1 << 16) % 251).astype(np.uint8)
    assert np.array_equal(look_up(table, values.astype(byte_order + "u2")), table[values])


def test_values_above_the_depth_are_white():
    assert scale_table(200)[[200, 255, 256, 65_535]].tolist() == [200, 255, 255, 255]
