import numpy as np
import pytest
from pydantic import ValidationError

from service.film.preprocessing import PreprocessSpec, decode, resize_stretched, to_model_input
from tests.support.encoded_films import encode, film

SPEC = PreprocessSpec()


@pytest.mark.parametrize("shape", [(100, 100), (224, 224), (300, 1000 // 2), (1024, 512)])
def test_any_film_becomes_the_model_input_size(shape):
    pixels = film(1024)[: shape[0], : shape[1]]
    model_input = to_model_input(decode(encode(pixels, "PNG"), SPEC), SPEC)
    assert model_input.shape == (224, 224)
    assert model_input.dtype == np.uint8


def test_the_whole_film_is_kept_and_no_border_added():
    pixels = np.full((300, 600), 50, np.uint8)
    pixels[:, :300] = 200
    model_input = resize_stretched(pixels, 224)
    assert np.all(model_input[:, :111] == 200)
    assert np.all(model_input[:, 113:] == 50)


def test_a_film_of_the_right_size_is_copied_unchanged():
    pixels = film(224)
    model_input = resize_stretched(pixels, 224)
    assert np.array_equal(model_input, pixels)
    assert not np.shares_memory(model_input, pixels)


def test_shrinking_averages_and_so_does_not_alias():
    stripes = np.zeros((448, 448), np.uint8)
    stripes[:, ::2] = 200
    assert np.all(resize_stretched(stripes, 224) == 100)


def test_a_jpeg_reduced_while_decoding_gives_nearly_the_same_input():
    data = encode(film(2048), "JPEG", quality=95)
    reduced = decode(data, SPEC)
    whole = decode(data, PreprocessSpec(decode_side_px=2048))
    assert reduced.pixels.shape == (256, 256)
    difference = to_model_input(reduced, SPEC).astype(int) - to_model_input(whole, SPEC)
    assert np.abs(difference).mean() < 1.5


def test_a_spec_that_would_enlarge_a_reduced_film_is_refused():
    assert PreprocessSpec(image_size_px=320, decode_side_px=320).decode_side_px == 320
    with pytest.raises(
        ValidationError, match=r"decode_side_px 256 is below image_size_px 320.*set decode_side_px to 320 or more"
    ):
        PreprocessSpec(image_size_px=320)


@pytest.mark.parametrize("change", [{"version": 2}, {"resize": "crop"}, {"image_size_px": 8}, {"mean": 0.5}])
def test_a_spec_that_this_code_does_not_know_is_refused(change):
    with pytest.raises(ValidationError):
        PreprocessSpec(**change)
