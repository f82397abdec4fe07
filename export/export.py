"""Checkpoint -> bundle, in this order: check the data, convert, calibrate what was converted, compare, record, seal."""

from pathlib import Path

import onnx

from export.bundle import is_registered, register, seal, staged, write_arrays, write_golden, write_head
from export.calibration import CONFORMAL_COVERAGE, TB_SCREENING, TB_SENSITIVITY, Calibration, calibrate
from export.card import render_card
from export.checkpoint import read_config, rebuild_network, uncalibrated_manifest
from export.drift_reference import build_reference
from export.films import compute, read_films, usable_films
from export.graph import ServingGraph, set_temperature, to_onnx
from export.outliers import fit_spec, fit_statistics
from export.parity import check_parity
from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.findings import DISEASES, Finding
from service.model.manifest import (
    DRIFT_REFERENCE_NAME,
    GOLDEN_NAME,
    GRAPH_NAME,
    HEAD_NAME,
    MODEL_CARD_NAME,
    OUTLIERS_NAME,
    PARITY_NAME,
    ConformalSpec,
    ModelManifest,
    OperatingPoint,
    ReviewSpec,
)
from service.model.predictor import Predictor
from training.errors import ExportError
from training.network.checkpoint import load_checkpoint

# Three for each dimension of the usual embedding; decoding and running them takes less than a minute.
TRAINING_FILMS = 4000


def export_bundle(
    checkpoint_path: Path,
    data: Path,
    *,
    version: str,
    out: Path,
    name: str = "chest-xray",
    replace: bool = False,
    store: bool = False,
) -> ModelBundle:
    """Write the bundle `out`/`name`-`version` and return it, opened and verified. A failure leaves nothing on disk.

    checkpoint_path: as `training.run` writes it.
    data: the folder it was trained on, with every file as it was. The validation split calibrates, and the training split gives
        drift reference and outlier statistics, both without the films that training excluded. The test split counts only in
        the folder's fingerprint.
    version: semantic, as 1.0.0.
    replace: whether to replace a bundle of this version.
    store: whether to copy the bundle into BentoML's model store, too.

    Raises ExportError (CheckpointInvalid and ParityFailed are ones), DatasetError or BundleError.
    """
    if store and not replace and is_registered(tag := f"{name}:{version}"):  # before minutes of work, not after
        raise ExportError(f"BentoML's model store holds {tag}; raise the version, or pass --replace or --no-register.")
    target = out / f"{name}-{version}"
    with staged(target, replace=replace) as folder:
        checkpoint = load_checkpoint(checkpoint_path)
        config = read_config(checkpoint)
        network, spec = rebuild_network(checkpoint, config)
        draft = ModelBundle(folder, uncalibrated_manifest(checkpoint, network, spec, name, version))
        films = usable_films(data, config.data, draft.manifest.data_fingerprint, checkpoint.get("sources_fingerprint"))

        graph = ServingGraph(network)
        model = to_onnx(graph, spec.image_size_px)
        onnx.save_model(model, folder / GRAPH_NAME)
        write_head(folder / HEAD_NAME, network.head)

        validation = read_films(films.val, spec)
        logits = compute(Predictor.from_bundle(draft), validation.images, "logits")["logits"]
        calibration = calibrate(logits, validation.labels)
        manifest = _calibrated(draft.manifest, calibration)

        set_temperature(graph, model, calibration.temperature)
        onnx.save_model(model, folder / GRAPH_NAME)
        predictor = Predictor.from_bundle(ModelBundle(folder, manifest))
        write_json(folder / PARITY_NAME, check_parity(graph, predictor, validation.images))

        training = read_films(films.train, spec, limit=TRAINING_FILMS)
        outputs = compute(predictor, validation.images, "probabilities", "embedding")
        statistics = fit_statistics(training, compute(predictor, training.images, "embedding")["embedding"])
        write_arrays(folder / OUTLIERS_NAME, statistics)
        reference = build_reference(
            training.statistics(), outputs["probabilities"], outputs["embedding"], statistics.components
        )
        write_json(folder / DRIFT_REFERENCE_NAME, reference.model_dump(mode="json"))
        outliers = fit_spec(statistics, training, validation, outputs["embedding"])
        manifest = manifest.model_copy(update={"outliers": outliers})

        write_golden(folder / GOLDEN_NAME, predictor, spec.image_size_px)
        (folder / MODEL_CARD_NAME).write_text(render_card(manifest, calibration), encoding="utf-8")
        sealed = seal(folder, manifest)
        Predictor.from_bundle(sealed).replay_golden(sealed)
    bundle = ModelBundle.open(target)
    if store:
        register(bundle, replace=replace)
    return bundle


def _calibrated(manifest: ModelManifest, calibration: Calibration) -> ModelManifest:
    """The same manifest with the fitted values, and the operating points of REPORT Table 21."""
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
