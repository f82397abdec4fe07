"""The preprocessing that a configuration asks for. Export writes it into the bundle's manifest."""

from pydantic import ValidationError

from service.film.preprocessing import PreprocessSpec
from training.config import TrainConfig
from training.errors import ConfigError


def preprocess_spec(config: TrainConfig) -> PreprocessSpec:
    """The spec for model inputs of data.image_size_px. Raises ConfigError for sizes out of its range.

    The decoder reduces no film below augment.resize_px. It would be enlarged again for the random crop, and be less sharp than
    the films that the service sees.
    """
    image_size_px, resize_px = config.data.image_size_px, config.augment.resize_px
    try:
        return PreprocessSpec(
            image_size_px=image_size_px, decode_side_px=max(PreprocessSpec().decode_side_px, resize_px, image_size_px)
        )
    except ValidationError as fault:
        raise ConfigError(
            f"No film can be prepared for data.image_size_px = {image_size_px} and augment.resize_px = {resize_px}: {fault}"
        ) from fault
