"""The class from the outer ring of a small copy of the film: what a model could score without seeing a lung."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.film.preprocessing import PreprocessSpec, resize_stretched
from service.model.findings import FINDINGS
from training.data.folder import FilmFile
from training.data.parallel import each_of
from training.evaluation.judging.altered import read_film
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import Floats, Labels
from training.evaluation.measures.discrimination import macro_auc
from training.evaluation.measures.intervals import RESAMPLES, interval_figures
from training.evaluation.measures.masking import border
from training.evaluation.measures.metrics import Judgements
from training.evaluation.measures.source_probes import linear_probe
from training.evaluation.measures.within_source import source_pairs, within_source_auc

# Small enough to hold no anatomy in the ring, large enough for a marker or a collimator edge to show.
SIDE_PX = 32

Rings = npt.NDArray[np.float32]


def border_rings(films: Sequence[FilmFile], spec: PreprocessSpec, *, threads: int) -> Rings:
    """The outer ring of each film's SIDE_PX x SIDE_PX copy, grey levels 0..255, float32 [N, pixels of the ring]."""
    ring = border((SIDE_PX, SIDE_PX))

    def read(film: FilmFile) -> Rings:
        return resize_stretched(read_film(film, spec).pixels, SIDE_PX)[ring].astype(np.float32)

    return np.stack(list(each_of(films, read, threads=threads, title="Reading borders")))


def class_from_border(
    fitted_rings: Rings, fitted: Judgements, rings: Rings, judged: Judgements, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Any] | None:
    """Macro AUC of a linear probe on border pixels, and its AUC within each source that holds two classes; None where either
    side has films of one class only.

    within_source: by the probe fitted on the films of every source; within_source_own: by one fitted on that source alone.
    """
    if min(len(set(side.labels.tolist())) for side in (fitted, judged)) < 2:
        return None
    everything = _probabilities(fitted_rings, fitted.labels, rings)
    of_source = {
        source: _probabilities(fitted_rings[fitted.of_source(source)], fitted.labels[fitted.of_source(source)], rings)
        for source in sorted({source for source, _, _ in source_pairs(judged.labels, judged.sources)})
        if len(set(fitted.labels[fitted.of_source(source)].tolist())) > 1
    }

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        figures: dict[FigurePath, Floats] = {("macro_auc",): macro_auc(judged.labels, everything, weights)}
        for path, area in within_source_auc(judged.labels, everything, judged.sources, weights).items():
            figures["within_source", *path] = area
        for source, own in of_source.items():
            chosen = judged.of_source(source)
            own_areas = within_source_auc(
                judged.labels[chosen], own[chosen], [source] * int(chosen.sum()), weights[..., chosen]
            )
            for path, area in own_areas.items():
                figures["within_source_own", *path] = area
        return figures

    ring = rings.shape[1]
    return {"side_px": SIDE_PX, "pixels": ring, **interval_figures(statistics, judged.groups, seed=seed, resamples=resamples)}


def _probabilities(fitted_rings: Rings, labels: Labels, rings: Rings) -> Floats:
    """[N, C]; zero for a class that the probe was not shown."""
    probe = linear_probe().fit(fitted_rings, labels)
    probabilities = np.zeros((len(rings), len(FINDINGS)))
    probabilities[:, probe.classes_] = probe.predict_proba(rings)
    return probabilities
