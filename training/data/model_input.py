"""How a training configuration wants films decoded and prepared; export puts the same into the bundle's manifest."""

from pydantic import ValidationError

from service.film.preprocessing import PreprocessSpec
from training.config import TrainConfig
from training.errors import ConfigError


def preprocess_spec(config: TrainConfig) -> PreprocessSpec:
    """The spec for model inputs of data.image_size_px. Raises ConfigError for sizes that it cannot hold.

    Films are decoded to no less than augment.resize_px: a training crop of a film that the decoder had reduced further would be
    enlarged again, and softer than what the service sees.
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
