"""drift_reference.json: how films and answers were distributed at export, in bins. The service counts films in the same bins.

Drift itself (population stability index, rates) is computed by Prometheus, where the counts of all processes add up.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.film.arrays import GreyPixels, NetworkValues
from service.model.findings import FINDINGS, Finding

FILM_FEATURES = ("mean", "contrast", "sharpness", "aspect_ratio", "resolution")
CONFIDENCE = "confidence"
NUMERIC_FEATURES = (*FILM_FEATURES, CONFIDENCE)
PREDICTED_CLASS = "predicted_class"

# Coordinates of the embedding along its leading components (REPORT 8.2, feature drift). In chest-xray 1.1.0 four components
# hold three quarters of the variance within a class, and the fifth a fiftieth.
COMPONENT_FEATURES = ("component_1", "component_2", "component_3", "component_4")


def film_statistics(model_input: GreyPixels, width_px: int, height_px: int) -> dict[str, float]:
    """Measure one film: a value for each of `FILM_FEATURES`.

    model_input: uint8 [S, S], so that the values do not depend on the file format.
    width_px, height_px: size as stored in the file.

    mean and contrast (standard deviation) are in grey levels, 0..255 (REPORT Table 5); sharpness is the variance of the
    4-neighbour Laplacian (Table 6); aspect_ratio is width / height (Table 3); resolution is log10 of the pixel count.
    """
    mean, deviation = cv2.meanStdDev(model_input)
    # Without the border, whose neighbours lie outside the picture.
    laplacian = np.ascontiguousarray(cv2.Laplacian(model_input, cv2.CV_16S, ksize=1)[1:-1, 1:-1])
    return {
        "mean": float(mean.item()),
        "contrast": float(deviation.item()),
        "sharpness": float(cv2.meanStdDev(laplacian)[1].item() ** 2),
        "aspect_ratio": width_px / height_px,
        "resolution": math.log10(width_px * height_px),
    }


def component_values(embedding: NetworkValues, components: NetworkValues) -> dict[str, float]:
    """Coordinates of an embedding along the leading components: a value for each of `COMPONENT_FEATURES`, -1..1.

    embedding: pooled features, float32 [C]; scaled to unit length here, as for the components.
    components: orthonormal, float32 [k, C], the leading ones first, k >= len(COMPONENT_FEATURES).
    """
    leading = components[: len(COMPONENT_FEATURES)]
    length = max(float(np.linalg.norm(embedding)), float(np.finfo(np.float32).tiny))
    return dict(zip(COMPONENT_FEATURES, (leading @ embedding / length).tolist(), strict=True))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericReference(_Frozen):
    """Distribution of one number over the reference films.

    minimum, maximum: range of the reference films, for out-of-range alerts (REPORT Table 29).
    """

    # Increasing inner edges. Bin i holds edges[i-1] <= value < edges[i]; the first and the last bin are open.
    edges: tuple[float, ...]
    shares: tuple[float, ...]  # share of the reference films in each of the len(edges) + 1 bins, none of them zero
    minimum: float
    maximum: float
    films: int = Field(gt=0)  # number of reference films

    @model_validator(mode="after")
    def _is_a_distribution(self) -> "NumericReference":
        if list(self.edges) != sorted(set(self.edges)) or not all(map(math.isfinite, self.edges)):
            raise ValueError(f"edges must be finite and increasing, found {self.edges}")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges make {len(self.edges) + 1} bins, found {len(self.shares)} shares")
        if min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares must be positive and sum to 1, found {self.shares}")
        return self

    @classmethod
    def from_values(cls, values: npt.NDArray[Any], bins: int = 10) -> "NumericReference":
        """Quantile bins of at least one finite number, float [N].

        Repeated values (half of all films may be square) make fewer bins than asked for, but never an empty one: every edge
        is one of the values, and none is the smallest.
        """
        quantiles = np.quantile(values, np.arange(1, bins) / bins, method="higher")
        edges = np.unique(quantiles[quantiles > values.min()])
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        return cls(
            edges=tuple(edges.tolist()),
            shares=tuple((counts / len(values)).tolist()),
            minimum=float(values.min()),
            maximum=float(values.max()),
            films=len(values),
        )

    def bin_of(self, value: float) -> int:
        """Index of the bin that holds `value`, 0 .. len(edges)."""
        return bisect_right(self.edges, value)  # ten times faster than np.searchsorted for one value

    def in_range(self, value: float) -> bool:
        """Whether the value lies within the range of the reference films."""
        return self.minimum <= value <= self.maximum


class DriftReference(_Frozen):
    """The reference of every monitored feature."""

    schema_version: Literal[1] = 1
    # An entry for each of `NUMERIC_FEATURES`, and for all `COMPONENT_FEATURES` or, up to chest-xray 1.1.0, none
    numeric: dict[str, NumericReference]
    predicted_class: dict[Finding, float]  # share of each finding among the answers whose confidence was measured

    @model_validator(mode="after")
    def _is_complete(self) -> "DriftReference":
        if set(self.numeric) not in (set(NUMERIC_FEATURES), {*NUMERIC_FEATURES, *COMPONENT_FEATURES}):
            known = ", ".join((*NUMERIC_FEATURES, *COMPONENT_FEATURES))
            raise ValueError(f"numeric must have {known}, or none of the components; found {', '.join(self.numeric)}")
        if set(self.predicted_class) != set(FINDINGS) or abs(sum(self.predicted_class.values()) - 1) > 1e-6:
            raise ValueError(f"predicted_class must hold a share of each finding and sum to 1, found {self.predicted_class}")
        return self

    @property
    def components(self) -> int:
        """Number of embedding components that have a reference."""
        return len(set(COMPONENT_FEATURES) & set(self.numeric))

    def films(self) -> dict[str, int]:
        """Feature -> number of films that its reference was measured on."""
        numeric = {name: reference.films for name, reference in self.numeric.items()}
        return {**numeric, PREDICTED_CLASS: numeric[CONFIDENCE]}

    def shares(self) -> Iterator[tuple[str, str, float]]:
        """Every (feature, bin label, reference share), which the service publishes beside its counts."""
        for name, reference in self.numeric.items():
            for index, share in enumerate(reference.shares):
                yield name, str(index), share
        for finding, share in self.predicted_class.items():
            yield PREDICTED_CLASS, finding.value, share
