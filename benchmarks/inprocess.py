"""Cost of the stages without HTTP: decode, preprocess, infer, observe and a site's head, by the service's own functions."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

import cv2
import numpy as np

from service.film.arrays import GreyPixels
from service.film.film import Radiograph
from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS
from service.model.observer import Observer
from service.model.predictor import Outputs, Predictor
from service.model.site_profile import SiteHead

STAGES = ("decode", "preprocess", "infer", "observe")

# What a site profile adds to them; not in the total of a release alone.
SITE_HEAD = "site head"


@dataclass(frozen=True)
class StageCost:
    """Medians over films, in milliseconds: time on the clock, and CPU time of the whole process."""

    wall_ms: float
    cpu_ms: float


class InProcess:
    """A bundle run in this process, one film after the other, on one thread."""

    def __init__(self, bundle: ModelBundle) -> None:
        # As the service does: one film, one core.
        cv2.setNumThreads(1)
        self._spec = bundle.manifest.preprocess
        self._predictor = Predictor.from_bundle(bundle, threads=1)
        self._observer = Observer.from_bundle(bundle)
        self._outputs = ("probabilities", "embedding") if self._observer.needs_embedding else ("probabilities",)
        features = bundle.manifest.head.features
        self._site_head = SiteHead(
            np.ones(1, np.float32), np.ones((len(FINDINGS), features), np.float32), np.zeros(len(FINDINGS), np.float32)
        )

    def stage_costs(self, films: Sequence[bytes], runs: int) -> dict[str, StageCost]:
        """Cost of STAGES, their `total` and SITE_HEAD, over `runs` films in turn, after one turn that is not counted."""
        self.cpu_seconds_per_film(films, len(films))
        costs: dict[str, list[tuple[float, float]]] = {stage: [] for stage in (*STAGES, "total", SITE_HEAD)}
        head_inputs = self._predictor.predict(self._black(), ("logits", "embedding"))
        for run in range(runs):
            data = films[run % len(films)]
            moments = [_now()]
            film = decode(data, self._spec)
            moments.append(_now())
            image = to_model_input(film, self._spec)
            moments.append(_now())
            values = self._predictor.predict(image[None], self._outputs)
            moments.append(_now())
            self._observe(film, image, values)
            moments.append(_now())
            for stage, start, end in zip(STAGES, moments[:-1], moments[1:], strict=True):
                costs[stage].append((end[0] - start[0], end[1] - start[1]))
            costs["total"].append((moments[-1][0] - moments[0][0], moments[-1][1] - moments[0][1]))
            self._site_head.probabilities(head_inputs["logits"][0], head_inputs["embedding"][0])
            after = _now()
            costs[SITE_HEAD].append((after[0] - moments[-1][0], after[1] - moments[-1][1]))
        return {
            stage: StageCost(
                wall_ms=1000 * statistics.median(wall for wall, _ in times),
                cpu_ms=1000 * statistics.median(cpu for _, cpu in times),
            )
            for stage, times in costs.items()
        }

    def cpu_seconds_per_film(self, films: Sequence[bytes], runs: int) -> float:
        """Mean CPU seconds from bytes to probabilities, over `runs` films in turn.

        A mean, because a server's CPU seconds per request are one, too.
        """
        start = process_time()
        for run in range(runs):
            film = decode(films[run % len(films)], self._spec)
            image = to_model_input(film, self._spec)
            self._observe(film, image, self._predictor.predict(image[None], self._outputs))
        return (process_time() - start) / runs

    def _black(self) -> GreyPixels:
        side_px = self._spec.image_size_px
        return np.zeros((1, side_px, side_px), np.uint8)

    def _observe(self, film: Radiograph, image: GreyPixels, values: Outputs) -> None:
        self._observer.observe(film, image, values["embedding"][0] if self._observer.needs_embedding else None)


def _now() -> tuple[float, float]:
    """Wall-clock seconds, and CPU seconds of this process."""
    return perf_counter(), process_time()
