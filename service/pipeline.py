"""A model under the limits of the service: deadlines, the sandbox for costly films, metrics and drift counts. Knows no HTTP."""

import logging
import warnings
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any

from service.drift import DriftCounter
from service.errors import OutOfTime
from service.film.film import Radiograph, open_film
from service.film.limits import DecodeLimits
from service.metrics import count_prediction, stage_timer
from service.model.findings import Finding
from service.model.grad_cam import GradCam
from service.model.model import Explanation, Model, Prediction
from service.prediction_id import new_prediction_id
from service.sandbox.decoder import SandboxedDecoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServedPrediction(Prediction):
    """A prediction with the identifier that answers, records and reports of labels refer to."""

    prediction_id: str  # a ULID; see `service.prediction_id`

    def members(self) -> dict[str, Any]:
        """See `Prediction.members`."""
        return {"prediction_id": self.prediction_id, **super().members()}


class Pipeline:
    """Judges films for the service. Its methods may be called by several threads at once.

    model: made with `service.metrics.stage_timer`, so that its stages are measured.
    limits: of the films that are decoded.
    sandbox: decodes the films that are costly to decode; None decodes them in this process.
    drift: counts films for drift; None counts none.
    """

    def __init__(
        self,
        model: Model,
        limits: DecodeLimits,
        sandbox: SandboxedDecoder | None = None,
        drift: DriftCounter | None = None,
    ) -> None:
        self.model = model
        self.bundle = model.bundle
        self.manifest = model.manifest
        self.site = model.site
        self._limits = limits
        self._sandbox = sandbox
        self._drift = drift

    def predict(self, data: bytes, operating_point: str, deadline: float = inf) -> ServedPrediction:
        """Judge one film. Raises InputError or OutOfTime. deadline: time.monotonic() after which the answer is of no use."""
        film = self._decode(data, deadline)
        return _served(self.model.judge(film, data, operating_point))

    def explain(
        self,
        data: bytes,
        operating_point: str,
        target: Finding | None,
        grad_cam: GradCam,
        *,
        with_film: bool = False,
        deadline: float = inf,
    ) -> tuple[ServedPrediction, Explanation]:
        """Judge one film and explain it; see `Model.judge_and_explain`. deadline and errors: see `predict`."""
        film = self._decode(data, deadline)
        prediction, explanation = self.model.judge_and_explain(
            film, data, operating_point, target, grad_cam, with_film=with_film
        )
        return _served(prediction), explanation

    def count(self, prediction: Prediction) -> None:
        """Count a film in the metrics, once its answer is given: a client without an answer sends the film again."""
        if self._drift is not None:
            self._drift.count(prediction.observed.image, tuple(prediction.probabilities.values()), prediction.embedding)
        count_prediction(prediction)

    def _decode(self, data: bytes, deadline: float) -> Radiograph:
        if monotonic() >= deadline:
            raise OutOfTime("The film waited longer than the time limit; send it again.")
        decode_side_px = self.manifest.preprocess.decode_side_px
        with stage_timer("decode"):
            opened = open_film(data, self._limits)
            if opened.is_costly and self._sandbox is not None:
                film = self._sandbox.decode(data, decode_side_px, deadline)
            else:
                film = opened.decode(decode_side_px)
            return self.model.upright(film)


def silence_decoding_libraries() -> None:
    """Drop log messages and warnings of Pillow and pydicom: they quote the file, whose line breaks could forge log lines."""
    for library in ("PIL", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
        # By default Python remembers the text of every warning, so texts that quote files would fill the memory.
        warnings.filterwarnings("ignore", module=rf"{library}\.")


def _served(prediction: Prediction) -> ServedPrediction:
    if fault := prediction.observed.display_fault:
        logger.warning("Film %s is not shown as its header asks: %s", prediction.image_sha256, fault)
    return ServedPrediction(**vars(prediction), prediction_id=new_prediction_id())
