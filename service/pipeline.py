"""Bytes of a film -> prediction and explanation, stage by stage. HTTP-free; called by several threads at once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from time import monotonic, perf_counter

import numpy as np
import numpy.typing as npt

from service.drift import DriftCounter
from service.errors import OutOfTime
from service.film.film import Orientation, Radiograph, open_film
from service.film.limits import DecodeLimits
from service.film.preprocessing import to_model_input
from service.metrics import count_prediction, stage_timer
from service.model.decision import Decision, Observed, decide
from service.model.findings import Finding
from service.model.grad_cam import GradCam, Grid, zone_shares
from service.model.heatmap import film_png, heatmap_png, overlay_png
from service.model.manifest import ModelBundle
from service.model.observer import Observer
from service.model.predictor import Outputs, Predictor
from service.model.upright import set_upright
from service.prediction_id import new_prediction_id
from service.sandbox.decoder import SandboxedDecoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """What the model and the decision rules say of one film.

    prediction_id: its own, of no other prediction. probabilities: calibrated, order of `FINDINGS`.
    inference_seconds: the model run alone, without decoding.
    observed: what the decision took into account beside the probabilities. format, width_px, height_px, orientation: of the
    film as sent; see `Radiograph`. image_sha256: of the bytes sent, as hexadecimal digits; all that is ever kept of them.
    embedding: float32 [C], of which `Pipeline.count` takes what drift is measured by; None for a bundle that compares none.
    """

    prediction_id: str
    probabilities: tuple[float, ...]
    decision: Decision
    observed: Observed
    operating_point: str
    format: str
    width_px: int
    height_px: int
    orientation: Orientation
    image_sha256: str
    inference_seconds: float
    embedding: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Explanation:
    """Where a film speaks for the target: the map, float32 [h, w] in 0..1, its shares by zone, and the pictures.

    film_png: the film as it was decoded, if it was asked for.
    """

    target: Finding
    grid: Grid
    zones: dict[str, float]
    heatmap_png: bytes
    overlay_png: bytes
    film_png: bytes | None


class Pipeline:
    """One model with the limits it is served under. bundle: where predictor and observer came from.

    sandbox: decodes films that are costly to decode; without one, they are decoded here as well. drift: counts films for drift.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        predictor: Predictor,
        observer: Observer,
        limits: DecodeLimits,
        sandbox: SandboxedDecoder | None = None,
        drift: DriftCounter | None = None,
    ) -> None:
        self._predictor = predictor
        self._observer = observer
        self._limits = limits
        self._sandbox = sandbox
        self._drift = drift
        self.bundle = bundle
        self.manifest = bundle.manifest

    def predict(self, data: bytes, operating_point: str, deadline: float = inf) -> Prediction:
        """Judge one film. deadline: of time.monotonic, when nobody waits for it any more. Raises InputError or OutOfTime."""
        film = self._decode(data, deadline)
        return self._judge(film, data, operating_point, ("probabilities",))[0]

    def explain(
        self,
        data: bytes,
        operating_point: str,
        target: Finding | None,
        grad_cam: GradCam,
        *,
        with_film: bool = False,
        deadline: float = inf,
    ) -> tuple[Prediction, Explanation]:
        """Judge one film and explain it from the same model run. target: None explains the predicted finding.

        with_film: also draw the film as it was decoded, for those who cannot show DICOM or 16 bit themselves.

        deadline: see `predict`. Raises InputError or OutOfTime.
        """
        film = self._decode(data, deadline)
        prediction, outputs = self._judge(film, data, operating_point, ("probabilities", "features"))
        target = target or prediction.decision.finding
        with stage_timer("explain"):
            grid = grad_cam.grid(outputs["features"][0], target)
            explanation = Explanation(
                target=target,
                grid=grid,
                zones=zone_shares(grid),
                heatmap_png=heatmap_png(grid, *film.pixels.shape),
                overlay_png=overlay_png(film.pixels, grid),
                film_png=film_png(film.pixels) if with_film else None,
            )
        return prediction, explanation

    def count(self, prediction: Prediction) -> None:
        """Count a film for drift and by what was called, once its answer is given: who got none sends the film again."""
        if self._drift is not None:
            self._drift.count(prediction.observed.image, prediction.probabilities, prediction.embedding)
        decision = prediction.decision
        count_prediction(self.manifest.version, decision.finding, max(prediction.probabilities), decision.review_reasons)

    def prove(self) -> None:
        """Run one golden input of the bundle again. Raises GoldenMismatch."""
        self._predictor.replay_golden(self.bundle, inputs=1)

    def _decode(self, data: bytes, deadline: float) -> Radiograph:
        if monotonic() >= deadline:
            raise OutOfTime("The film waited until nobody waited for it any more.")
        decode_side_px = self.manifest.preprocess.decode_side_px
        with stage_timer("decode"):
            opened = open_film(data, self._limits)
            if opened.is_costly and self._sandbox is not None:
                film = self._sandbox.decode(data, decode_side_px, deadline)
            else:
                film = opened.decode(decode_side_px)
            statistics = self._observer.statistics
            return film if statistics is None else set_upright(film, self.manifest.preprocess, statistics.mean_film)

    def _judge(self, film: Radiograph, data: bytes, operating_point: str, outputs: Sequence[str]) -> tuple[Prediction, Outputs]:
        with stage_timer("preprocess"):
            images = to_model_input(film, self.manifest.preprocess)[None]
        start = perf_counter()
        with stage_timer("infer"):
            values = self._predictor.predict(images, (*outputs, "embedding") if self._observer.needs_embedding else outputs)
        inference_seconds = perf_counter() - start
        probabilities = tuple(float(value) for value in values["probabilities"][0])
        with stage_timer("observe"):
            embedding = values["embedding"][0] if "embedding" in values else None
            observed = self._observer.observe(film, images[0], embedding)
        prediction = Prediction(
            prediction_id=new_prediction_id(),
            probabilities=probabilities,
            decision=decide(probabilities, self.manifest, operating_point, observed),
            observed=observed,
            operating_point=operating_point,
            format=film.format,
            width_px=film.width_px,
            height_px=film.height_px,
            orientation=film.orientation,
            image_sha256=sha256(data).hexdigest(),
            inference_seconds=inference_seconds,
            embedding=embedding,
        )
        if film.display_fault:
            logger.warning("Film %s is not shown as its header asks: %s", prediction.image_sha256, film.display_fault)
        return prediction, values
