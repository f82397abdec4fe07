import pytest

from training.errors import ConfigError
from training.network.classifier import build_network


@pytest.mark.parametrize("architecture", ["no_such_network", "hf-hub:owner/name", "local-dir:/tmp", "hf-hub:owner/resnet50"])
def test_an_architecture_is_one_of_timms_own_and_never_an_address(architecture):
    with pytest.raises(ConfigError, match="has no architecture"):
        build_network(architecture)


@pytest.mark.parametrize("architecture", ["efficientnet_b0", "tf_efficientnet_lite0", "resnet50", "densenet121"])
def test_the_head_is_the_reports_on_every_backbone(architecture):
    network = build_network(architecture)
    assert [type(layer).__name__ for layer in network.head.children()] == [
        "BatchNorm1d", "Dropout", "Linear", "BatchNorm1d", "Dropout", "Linear",
    ]  # fmt: skip
    assert (network.head.dropout_in.p, network.head.dropout_hidden.p) == (0.3, 0.15)
    assert network.head.spec.features == network.head.norm_in.num_features
    if architecture.startswith("efficientnet"):
        assert sum(p.numel() for p in network.head.parameters()) == pytest.approx(330_000, rel=0.01)  # Table 11
