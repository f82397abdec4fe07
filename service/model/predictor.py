"""Runs model.onnx with ONNX Runtime: arrays in, arrays out. Knows neither files of films nor thresholds."""

import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels, NetworkValues
from service.model.bundle import ModelBundle
from service.model.errors import GoldenMismatch, ManifestInvalid, ProfileGoldenMismatch
from service.model.manifest import GOLDEN_NAME, GRAPH_NAME, ModelManifest
from service.model.site_profile import SITE_GOLDEN_NAME, SiteHead, SiteProfile

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT_NAME = "image"
OUTPUT_NAMES = ("probabilities", "logits", "embedding", "features")

# Share of an output's range. Other instruction sets (AVX-512, NEON) sum in another order, which changes an output by about 1e-5
# of its range; a wrong graph or a broken kernel changes it by far more than this.
GOLDEN_TOLERANCE = 1e-3

Outputs = dict[str, NetworkValues]


class Predictor:
    """The graph of one bundle, ready to run. `predict` may be called by several threads at once; they share the session.

    session: ONNX Runtime session with the input and the outputs named above.
    manifest: of the bundle that the session was opened from.
    """

    def __init__(self, session: "InferenceSession", manifest: ModelManifest) -> None:
        self._session = session
        self.manifest = manifest

    @classmethod
    def from_bundle(cls, bundle: ModelBundle, threads: int = 1) -> "Predictor":
        """Open the graph of a verified bundle. Raises ManifestInvalid if its inputs or outputs are not the expected ones.

        threads: threads within one call. With one, concurrent callers use one core each.
        """
        # Not at import: BentoML's supervisor imports the service too but runs no model, and saves 20 MB.
        import onnxruntime as ort

        options = ort.SessionOptions()
        # Explicit, because ONNX Runtime respects neither cgroup limits nor OMP_NUM_THREADS.
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Threads that spin between calls take the CPU from PyTorch's threads and from other processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(bundle.file(GRAPH_NAME)), options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # ONNX Runtime's errors have no common base class
            raise ManifestInvalid(
                f"{bundle.file(GRAPH_NAME)} cannot be run by ONNX Runtime {ort.__version__}; export the model again. {fault}"
            ) from fault
        _check_interface(session, bundle)
        return cls(session, bundle.manifest)

    def predict(self, images: GreyPixels, outputs: Sequence[str] = ("probabilities",)) -> Outputs:
        """Run the graph on grey images, uint8 [N, S, S], S = preprocess.image_size_px of the manifest, N >= 1.

        outputs: which of these to compute and return, float32; ask only for those that are needed.
            probabilities [N, 3], calibrated, rows summing to 1, order of `FINDINGS`;
            logits [N, 3], before temperature;
            embedding [N, C], pooled features;
            features [N, C, h, w], last feature map.

        Raises ValueError if the images have another type or shape.
        """
        size_px = self.manifest.preprocess.image_size_px
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (size_px, size_px) or len(images) == 0:
            raise ValueError(
                f"The model reads uint8 [N, {size_px}, {size_px}] with N >= 1, not {images.dtype} {list(images.shape)}; "
                "prepare images with service.film.preprocessing.to_model_input."
            )
        values = self._session.run(list(outputs), {INPUT_NAME: images})
        return dict(zip(outputs, values, strict=True))

    def replay_golden(self, bundle: ModelBundle, inputs: int | None = None, profile: SiteProfile | None = None) -> None:
        """Run the bundle's synthetic inputs and compare with the outputs recorded at export. Raises GoldenMismatch.

        They may differ by GOLDEN_TOLERANCE, or by that share of the output's largest recorded magnitude if this is above 1.

        inputs: how many of the inputs; None runs all.
        profile: its answers, from the same runs, are compared with those recorded at commissioning. Raises
            ProfileGoldenMismatch, or ProfileInvalid if none are recorded.
        """
        golden = {name: values[:inputs] for name, values in _read_golden(bundle).items()}
        recorded = [name for name in ("probabilities", "logits", "embedding") if name in golden]
        # One by one, as films are served: after a batch the session would keep the memory that a batch takes.
        needed = dict.fromkeys((*recorded, *(() if profile is None else answering_outputs(profile.head))))
        runs = [self.predict(image[None], list(needed)) for image in golden["images"]]
        actual = {name: np.concatenate([run[name] for run in runs]) for name in needed}
        for name in recorded:
            if (fault := _difference(name, actual[name], golden[name])) is not None:
                raise GoldenMismatch(
                    f"{bundle.file(GOLDEN_NAME)}: {fault}. ONNX Runtime {version('onnxruntime')} does not reproduce the "
                    "exported model on this machine; export it again, or do not serve it here."
                )
        if profile is None:
            return
        fault = _difference("probabilities", answered(actual, profile.head), profile.golden_probabilities()[:inputs])
        if fault is not None:
            raise ProfileGoldenMismatch(
                f"{profile.file(SITE_GOLDEN_NAME)}: {fault}. ONNX Runtime {version('onnxruntime')} does not reproduce the "
                "commissioned answers on this machine; commission the site again, or do not apply this profile here."
            )


def answering_outputs(head: SiteHead | None) -> tuple[str, ...]:
    """The outputs that `answered` reads. head: of the site, if it has one."""
    return ("probabilities",) if head is None else ("logits", "embedding")


def answered(outputs: Outputs, head: SiteHead | None) -> NetworkValues:
    """The probabilities to answer with, float32 [N, 3]: those of the site's head, or without one the graph's, unchanged."""
    return outputs["probabilities"] if head is None else head.probabilities(outputs["logits"], outputs["embedding"])


def _difference(name: str, actual: NetworkValues, expected: npt.NDArray[Any]) -> str | None:
    """How outputs differ from the recorded ones by more than the tolerance; None if they do not."""
    if actual.shape != expected.shape:
        return f"{name} has shape {list(actual.shape)}, not the recorded {list(expected.shape)}"
    gap = float(np.abs(actual - expected).max()) / max(1.0, float(np.abs(expected).max()))
    if not gap <= GOLDEN_TOLERANCE:  # written so that NaN fails
        return f"{name} differs from the recorded values by {gap:.2e}, more than {GOLDEN_TOLERANCE:.0e}"
    return None


def _check_interface(session: "InferenceSession", bundle: ModelBundle) -> None:
    inputs = [value.name for value in session.get_inputs()]
    missing = set(OUTPUT_NAMES) - {value.name for value in session.get_outputs()}
    if inputs != [INPUT_NAME] or missing:
        raise ManifestInvalid(
            f"{bundle.file(GRAPH_NAME)} has inputs {inputs} and lacks outputs {sorted(missing)}; export the model again."
        )


def _read_golden(bundle: ModelBundle) -> dict[str, npt.NDArray[Any]]:
    path = bundle.file(GOLDEN_NAME)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            golden = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as fault:
        raise GoldenMismatch(f"{path} is not an archive of arrays; export the model again. {fault}") from fault
    size_px = bundle.manifest.preprocess.image_size_px
    images = golden.get("images")
    if (
        images is None
        or "probabilities" not in golden
        or images.dtype != np.uint8
        or images.shape[1:] != (size_px, size_px)
        or len(images) == 0
    ):
        raise GoldenMismatch(
            f"{path} must record images, uint8 [K, {size_px}, {size_px}], and their probabilities; export the model again."
        )
    return golden


def load_predictor(bundle: ModelBundle, threads: int = 1, profile: SiteProfile | None = None) -> Predictor:
    """Open the bundle's graph and replay its golden inputs, also through the site profile. Raises BundleError."""
    if profile is not None:
        profile.require_bundle(bundle)
    predictor = Predictor.from_bundle(bundle, threads)
    predictor.replay_golden(bundle, None, profile)
    return predictor
