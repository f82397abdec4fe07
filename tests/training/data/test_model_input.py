import pytest

from training.config_file import config_from_dict
from training.data.model_input import preprocess_spec
from training.errors import ConfigError


@pytest.mark.parametrize(
    ("image_size_px", "resize_px", "decode_side_px"), [(224, 246, 256), (224, 300, 300), (384, 384, 384), (380, 420, 420)]
)
def test_films_are_decoded_no_smaller_than_the_training_crop_is_taken_from(image_size_px, resize_px, decode_side_px):
    config = config_from_dict({"data": {"image_size_px": image_size_px}, "augment": {"resize_px": resize_px}})
    spec = preprocess_spec(config)
    assert (spec.image_size_px, spec.decode_side_px) == (image_size_px, decode_side_px)


def test_a_size_that_no_film_can_be_prepared_for_is_named():
    config = config_from_dict({"data": {"image_size_px": 4096}, "augment": {"resize_px": 4096}})
    with pytest.raises(ConfigError, match=r"data\.image_size_px = 4096"):
        preprocess_spec(config)
