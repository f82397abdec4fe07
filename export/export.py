"""Checkpoint -> bundle: `python -m export.export --checkpoint runs/x/best_model.pt --data DATA --version 1.0.0 --out models/`.

The order of the steps is the story: check the data, convert, calibrate on what was converted, compare, record, seal.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from export.bundle import (
    is_registered,
    register,
    seal,
    store_tag,
    write_golden,
    write_head,
    write_json,
    write_outlier_statistics,
)
from export.calibrate import CONFORMAL_COVERAGE, TB_SENSITIVITY, Calibration, calibrate, found_no_minimum
from export.card import TB_SCREENING, render_card, validation_figures
from export.films import read_films, usable_films
from export.graph import ServingGraph, set_temperature, to_onnx
from export.outliers import fit_spec, fit_statistics
from export.outputs import compute
from export.phantom import phantom_film
from export.reference import build_reference
from export.staging import staged
from export.validate import check_parity
from service.film.errors import ChestXrayError
from service.film.preprocessing import PreprocessSpec, resize_stretched
from service.model.bundle import ModelBundle
from service.model.findings import DISEASES, FINDINGS, Finding
from service.model.manifest import (
    DRIFT_REFERENCE_NAME,
    GOLDEN_NAME,
    GRAPH_NAME,
    HEAD_NAME,
    MODEL_CARD_NAME,
    OUTLIERS_NAME,
    PARITY_NAME,
    REQUIRED_FILES,
    ConformalSpec,
    ModelManifest,
    OperatingPoint,
    ReviewSpec,
)
from service.model.predictor import OUTPUT_NAMES, Predictor
from training.config import TrainConfig, config_from_dict
from training.data.model_input import preprocess_spec
from training.data.validation_report import ValidationLimits
from training.errors import CheckpointInvalid, ConfigError, ExportError
from training.network.checkpoint import load_checkpoint, recipe_of
from training.network.classifier import ChestXrayNetwork, build_network
from training.network.onnx_graph import OPSET

DEFAULT_NAME = "chest-xray"

# Three for each dimension of the usual embedding, and read and run in less than a minute.
TRAINING_FILMS = 4000

# Two phantoms of each finding tell a wrong graph from a right one, and replay in a tenth of a second when a server starts.
GOLDEN_SEEDS = (1, 2)

# Libraries whose version can change an output.
RECORDED_VERSIONS = (
    "torch",
    "timm",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pydicom",
)


def main(argv: list[str] | None = None) -> int:
    """Export from the command line; prints a summary and the next command."""
    arguments = _parse(argv)
    tag = store_tag(arguments.name, arguments.version)
    try:
        # Asked first: a refusal after minutes of work would be unkind.
        if not (arguments.no_register or arguments.replace) and is_registered(tag):
            raise ExportError(f"BentoML's model store holds {tag}; raise the version, or pass --replace or --no-register.")
        bundle = export_bundle(
            arguments.checkpoint,
            arguments.data,
            version=arguments.version,
            out=arguments.out,
            name=arguments.name,
            replace=arguments.replace,
        )
        if not arguments.no_register:
            register(bundle, replace=arguments.replace)
    except ChestXrayError as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    print(_summary(bundle, registered_as=None if arguments.no_register else tag))
    return 0


def export_bundle(
    checkpoint_path: Path, data: Path, *, version: str, out: Path, name: str = DEFAULT_NAME, replace: bool = False
) -> ModelBundle:
    """Write `out`/`name`-`version` and return it, opened and verified. A failure leaves nothing on disk.

    checkpoint_path: as training.run.train writes it. data: the folder it was trained on, file by file; its validation split is
        calibrated on, its training split gives the drift reference and what other pictures are told by, both without the films
        that training excluded. Of the test split nothing but the bytes counts, which are part of the folder's fingerprint.

    Raises ExportError (among them CheckpointInvalid and ParityFailed), DatasetError or BundleError.
    """
    with staged(out / f"{name}-{version}", replace=replace) as folder:
        checkpoint = load_checkpoint(checkpoint_path)
        config = read_config(checkpoint)
        network, spec = rebuild_network(checkpoint, config)
        draft = ModelBundle(folder, _uncalibrated_manifest(checkpoint, config, network, spec, name, version))
        limits = ValidationLimits(near_duplicate_bits=config.data.near_duplicate_bits)
        films = usable_films(
            data,
            draft.manifest.data_fingerprint,
            limits,
            config.data.held_out_source,
            checkpoint.get("sources_fingerprint"),
        )

        graph = ServingGraph(network)
        model = to_onnx(graph, spec.image_size_px)
        onnx.save_model(model, folder / GRAPH_NAME)
        write_head(folder / HEAD_NAME, network.head)

        validation = read_films(films["val"], spec)
        logits = compute(Predictor.from_bundle(draft), validation.images, "logits")["logits"]
        calibration = calibrate(logits, validation.labels)
        manifest = _calibrated(draft.manifest, calibration)

        set_temperature(graph, model, calibration.temperature)
        onnx.save_model(model, folder / GRAPH_NAME)
        predictor = Predictor.from_bundle(ModelBundle(folder, manifest))
        parity = check_parity(graph, predictor, validation.images)
        write_json(folder / PARITY_NAME, parity.as_dict())

        training = read_films(films["train"], spec, limit=TRAINING_FILMS)
        outputs = compute(predictor, validation.images, "probabilities", "embedding")
        statistics = fit_statistics(training, compute(predictor, training.images, "embedding")["embedding"])
        write_outlier_statistics(folder / OUTLIERS_NAME, statistics)
        reference = build_reference(training, outputs["probabilities"], outputs["embedding"], statistics.components)
        write_json(folder / DRIFT_REFERENCE_NAME, reference.model_dump(mode="json"))
        outliers = fit_spec(statistics, training, validation, outputs["embedding"])
        manifest = manifest.model_copy(update={"outliers": outliers})

        write_golden(folder / GOLDEN_NAME, predictor, _golden_images(spec))
        figures = validation_figures(outputs["probabilities"], validation.labels, manifest)
        (folder / MODEL_CARD_NAME).write_text(render_card(manifest, calibration, figures), encoding="utf-8")
        sealed = seal(folder, manifest)
        Predictor.from_bundle(sealed).replay_golden(sealed)
    return ModelBundle.open(out / f"{name}-{version}")


def read_config(checkpoint: dict[str, Any]) -> TrainConfig:
    """The configuration of the run. Raises CheckpointInvalid."""
    try:
        return config_from_dict(checkpoint["config"])
    except (ConfigError, AttributeError) as fault:
        raise CheckpointInvalid(f"The checkpoint's config is not one that this code reads ({fault}); train again.") from fault


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
        raise CheckpointInvalid(f"The checkpoint's weights are not those of {model.architecture}: {fault}") from fault
    return network.eval(), spec


def without_paths(value: Any) -> Any:
    """A copy of nested config values in which an absolute path is only its last part: a bundle tells nothing of a machine."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, str):
        for flavour in (PurePosixPath(value), PureWindowsPath(value)):
            if flavour.is_absolute():
                return flavour.name
    return value


def _uncalibrated_manifest(
    checkpoint: dict[str, Any],
    config: TrainConfig,
    network: ChestXrayNetwork,
    spec: PreprocessSpec,
    name: str,
    version: str,
) -> ModelManifest:
    """What is known before calibration; the rest claims nothing: no temperature, every finding in every conformal set."""
    try:
        return ModelManifest(
            name=name,
            version=version,
            architecture=config.model.architecture,
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
        raise CheckpointInvalid(f"The checkpoint lacks {fault}; it was not written by training.run.train.") from fault
    except ValueError as fault:
        raise ExportError(f"No manifest can be made for {name} {version}: {fault}") from fault


def _calibrated(manifest: ModelManifest, calibration: Calibration) -> ModelManifest:
    """The same manifest with what was fitted, and the operating points of REPORT Table 21."""
    points = {
        **manifest.operating_points,
        "high_sensitivity": OperatingPoint(
            description="A disease is called from a probability of 0.3.", thresholds=dict.fromkeys(DISEASES, 0.3)
        ),
        "high_specificity": OperatingPoint(
            description="A disease is called from a probability of 0.7.", thresholds=dict.fromkeys(DISEASES, 0.7)
        ),
        TB_SCREENING: OperatingPoint(
            description=(
                f"Tuberculosis or not, with a sensitivity of at least {TB_SENSITIVITY:.0%} on the validation split (WHO triage "
                "profile). Normal means that tuberculosis is not suspected; pneumonia is not looked for."
            ),
            thresholds={Finding.TUBERCULOSIS: calibration.tb_threshold},
        ),
    }
    return manifest.model_copy(
        update={
            "temperature": calibration.temperature,
            "operating_points": points,
            "conformal": ConformalSpec(coverage=CONFORMAL_COVERAGE, quantiles=calibration.conformal_quantiles),
            "review": ReviewSpec(low_confidence_below=calibration.review_threshold),
        }
    )


def _golden_images(spec: PreprocessSpec) -> npt.NDArray[np.uint8]:
    films = [phantom_film(finding, seed) for seed in GOLDEN_SEEDS for finding in FINDINGS]
    return np.stack([resize_stretched(film, spec.image_size_px) for film in films])


def _summary(bundle: ModelBundle, registered_as: str | None) -> str:
    """What a person wants to know after an export."""
    return "\n".join(_summary_lines(bundle, registered_as))


def _summary_lines(bundle: ModelBundle, registered_as: str | None) -> Iterator[str]:
    manifest = bundle.manifest
    parity = json.loads(bundle.file(PARITY_NAME).read_text("utf-8"))
    gaps = {name: max(parity["real"][name]["max_gap"], parity["random"][name]["max_gap"]) for name in OUTPUT_NAMES}
    yield ""
    yield f"{manifest.name} {manifest.version} ({manifest.architecture}): {bundle.path}"
    at_bound = " (at the bound of its range: calibrate on more films)" if found_no_minimum(manifest.temperature) else ""
    yield f"  temperature         {manifest.temperature:.4f}{at_bound}"
    yield f"  tuberculosis from   {manifest.operating_points[TB_SCREENING].thresholds[Finding.TUBERCULOSIS]:.4f} (screening)"
    quantiles = ", ".join(f"{finding} {quantile:.4f}" for finding, quantile in manifest.conformal.quantiles.items())
    yield f"  conformal quantiles {quantiles} ({manifest.conformal.coverage:.0%} coverage)"
    yield f"  review below        {manifest.review.low_confidence_below:.4f}"
    if manifest.outliers is not None:
        share = manifest.outliers.flagged_share
        yield f"  outlier above       {manifest.outliers.threshold:.4f} (with image checks {share:.1%} of validation films)"
    yield "  largest gaps        " + ", ".join(f"{name} {gap:.1e}" for name, gap in gaps.items())
    yield f"  BentoML store       {registered_as or 'not registered'}"
    yield f"next: python -m training.evaluation.evaluate {bundle.path} --data DATA --split test"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m export.export", description="Turn a checkpoint into a bundle that can be served."
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best_model.pt of a run")
    parser.add_argument("--data", type=Path, required=True, help="data folder with train/ and val/, the one it was trained on")
    parser.add_argument("--version", required=True, help="semantic version, for example 1.0.0")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder for bundles (default: models)")
    parser.add_argument("--name", default=DEFAULT_NAME, help=f"model name (default: {DEFAULT_NAME})")
    parser.add_argument("--replace", action="store_true", help="overwrite an existing bundle and store entry of this version")
    parser.add_argument("--no-register", action="store_true", help="do not copy the bundle into BentoML's model store")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
