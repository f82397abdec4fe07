"""Reads a training checkpoint: the trained network, how its input is prepared, and the manifest before calibration."""

from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from export.calibration import CONFORMAL_COVERAGE
from service.film.preprocessing import PreprocessSpec
from service.model.findings import FINDINGS
from service.model.manifest import REQUIRED_FILES, ConformalSpec, ModelManifest, OperatingPoint, ReviewSpec
from training.config import TrainConfig
from training.config_file import config_from_dict
from training.data.model_input import preprocess_spec
from training.errors import CheckpointInvalid, ConfigError, ExportError
from training.network.checkpoint import recipe_of
from training.network.classifier import ChestXrayNetwork, build_network
from training.network.onnx_graph import OPSET

# Libraries whose version can change an output.
RECORDED_VERSIONS = (
    "torch", "timm", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless", "pillow", "pydicom",
)  # fmt: skip


def read_config(checkpoint: dict[str, Any]) -> TrainConfig:
    """The configuration of the run. Raises CheckpointInvalid."""
    try:
        return config_from_dict(checkpoint["config"])
    except (ConfigError, AttributeError) as fault:
        raise CheckpointInvalid(f"This code cannot read the checkpoint's config ({fault}); train again.") from fault


def rebuild_network(checkpoint: dict[str, Any], config: TrainConfig) -> tuple[ChestXrayNetwork, PreprocessSpec]:
    """The trained network in evaluation mode, and how its input is prepared. Raises CheckpointInvalid."""
    if checkpoint["class_names"] != [finding.value for finding in FINDINGS]:
        raise CheckpointInvalid(f"The checkpoint's classes are {checkpoint['class_names']}, not {[f.value for f in FINDINGS]}.")
    model = config.model
    try:
        network = build_network(model.architecture, hidden=model.hidden, dropout=model.dropout, classes=len(FINDINGS))
        spec = preprocess_spec(config)
    except (ConfigError, RuntimeError) as fault:
        raise CheckpointInvalid(f"The checkpoint's config does not describe a network ({fault}); train again.") from fault
    try:
        network.load_state_dict(checkpoint["model_state_dict"])
    except RuntimeError as fault:
        raise CheckpointInvalid(f"The checkpoint's weights do not fit {model.architecture}: {fault}") from fault
    return network.eval(), spec


def uncalibrated_manifest(
    checkpoint: dict[str, Any], network: ChestXrayNetwork, spec: PreprocessSpec, name: str, version: str
) -> ModelManifest:
    """The manifest before calibration: temperature 1, every finding in every conformal set, no film below the review threshold.

    Raises CheckpointInvalid if the checkpoint lacks a field, and ExportError for a name or version that no manifest takes.
    """
    try:
        return ModelManifest(
            name=name,
            version=version,
            architecture=read_config(checkpoint).model.architecture,
            findings=FINDINGS,
            preprocess=spec,
            head=network.head.spec,
            temperature=1.0,
            operating_points={"balanced": OperatingPoint(description="The most probable finding.")},
            conformal=ConformalSpec(coverage=CONFORMAL_COVERAGE, quantiles=dict.fromkeys(FINDINGS, 1.0)),
            review=ReviewSpec(low_confidence_below=0.0),
            opset=OPSET,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=checkpoint["git_commit"],
            data_fingerprint=checkpoint["data_fingerprint"],
            training_config=without_paths(recipe_of(checkpoint)),
            versions={library: installed_version(library) for library in RECORDED_VERSIONS},
            files=dict.fromkeys(REQUIRED_FILES, ""),  # hashed when the bundle is sealed
        )
    except KeyError as fault:
        raise CheckpointInvalid(f"The checkpoint lacks {fault}; `cxr train` writes checkpoints that have it.") from fault
    except ValueError as fault:
        raise ExportError(f"No manifest can be made for {name} {version}: {fault}") from fault


def without_paths(value: Any) -> Any:
    """A copy of nested config values with each absolute path cut to its last part, so that a bundle names no folder."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
