import pytest

from training.errors import ConfigError
from training.network.classifier import build_network


@pytest.mark.parametrize("architecture", ["no_such_network", "hf-hub:owner/name", "local-dir:/tmp", "hf-hub:owner/resnet50"])
def test_an_architecture_is_one_of_timms_own_and_never_an_address(architecture):
    with pytest.raises(ConfigError, match="knows no architecture"):
        build_network(architecture)
