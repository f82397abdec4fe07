"""manifest.json of a bundle, and the names of the bundle's other files. Reads no files: see `service.model.bundle`."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.film.preprocessing import PreprocessSpec
from service.model.findings import FINDINGS, Finding

MANIFEST_NAME = "manifest.json"
GRAPH_NAME = "model.onnx"
HEAD_NAME = "head.safetensors"
GOLDEN_NAME = "golden.npz"
OUTLIERS_NAME = "outliers.safetensors"
DRIFT_REFERENCE_NAME = "drift_reference.json"
PARITY_NAME = "parity.json"
MODEL_CARD_NAME = "MODEL_CARD.md"

# Needed to serve; the other files of a bundle are for people and monitoring.
REQUIRED_FILES = (GRAPH_NAME, HEAD_NAME, GOLDEN_NAME)

# Measured on the picture itself; see `service.model.image_checks`.
ImageStatistic = Literal["mean", "contrast", "sharpness", "aspect_ratio", "chroma", "resemblance"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeadSpec(_Frozen):
    """Shape of the classifier head, to rebuild it from head.safetensors.

    The head is BatchNorm1d(features) -> Linear(features, hidden) -> ReLU -> BatchNorm1d(hidden) -> Linear(hidden, classes)
    on globally average-pooled features; dropout is the identity when serving. Tensors carry the names of
    `training.network.classifier.Head`: norm_in.*, hidden.*, norm_hidden.*, classifier.*
    """

    features: int = Field(gt=0)
    hidden: int = Field(gt=0)
    classes: int = Field(gt=1)
    norm_eps: float = Field(gt=0)


class OperatingPoint(_Frozen):
    """A decision rule over calibrated probabilities (REPORT Table 21).

    Without thresholds: the most probable finding. With thresholds: of the diseases at or above their threshold, the one that
    exceeds it most (ratio to the threshold); Normal if none is. Diseases without an entry cannot be called.
    """

    description: str
    thresholds: dict[Finding, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _thresholds_are_probabilities_of_diseases(self) -> "OperatingPoint":
        for finding, threshold in self.thresholds.items():
            if finding is Finding.NORMAL or not 0.0 < threshold < 1.0:
                raise ValueError(f"threshold {threshold} of {finding} must lie in (0, 1) and belong to a disease")
        return self


class ConformalSpec(_Frozen):
    """Split conformal prediction sets (Angelopoulos & Bates, arXiv:2107.07511, least ambiguous classifiers).

    The set holds each finding whose probability is at least 1 - its quantile. With a quantile for each finding, the coverage
    holds for the films of each finding (Vovk 2012, arXiv:1209.2673). With one `quantile` for all, as in chest-xray 1.0.0, it
    holds for all films together.
    """

    coverage: float = Field(gt=0, lt=1)
    quantiles: dict[Finding, Annotated[float, Field(ge=0, le=1)]]

    @model_validator(mode="before")
    @classmethod
    def _one_quantile_stands_for_all(cls, members: Any) -> Any:
        if isinstance(members, dict) and "quantile" in members and "quantiles" not in members:
            others = {name: value for name, value in members.items() if name != "quantile"}
            return {**others, "quantiles": dict.fromkeys(FINDINGS, members["quantile"])}
        return members

    @model_validator(mode="after")
    def _every_finding_has_one(self) -> "ConformalSpec":
        if set(self.quantiles) != set(FINDINGS):
            raise ValueError(f"quantiles must be of {', '.join(FINDINGS)}, found {', '.join(self.quantiles) or 'none'}")
        return self

    @property
    def is_per_class(self) -> bool:
        """Whether the coverage holds for the films of each finding, not only for all films together."""
        return len(set(self.quantiles.values())) > 1


class ReviewSpec(_Frozen):
    """When a person must look."""

    low_confidence_below: float = Field(ge=0, le=1)  # review if the largest probability is below this


class Bounds(_Frozen):
    """Usual range of a statistic, both ends included; None is no bound."""

    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _is_an_interval(self) -> "Bounds":
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"low {self.low} must not exceed high {self.high}")
        return self

    def hold(self, value: float) -> bool:
        """Whether the value lies within the bounds; NaN does not."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high) and not math.isnan(value)


class OutlierSpec(_Frozen):
    """Bounds beyond which a picture is unlike the training films, whose statistics are in outliers.safetensors."""

    # How `service.model.outliers.outlier_score` measures distance
    method: Literal["mahalanobis-unit-length-ppca"] = "mahalanobis-unit-length-ppca"
    threshold: float = Field(gt=0)  # of that score; a higher one is unusual
    image_bounds: dict[ImageStatistic, Bounds]  # of the picture's own statistics
    films: int = Field(gt=0)  # number of validation films that the threshold was chosen on
    flagged_share: float = Field(ge=0, le=1)  # share of these films that the threshold or a bound flags


class ModelManifest(_Frozen):
    """What a bundle is, where it came from, and how to read its outputs."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    architecture: str
    findings: tuple[Finding, ...]
    preprocess: PreprocessSpec
    head: HeadSpec
    temperature: float = Field(gt=0)
    operating_points: dict[str, OperatingPoint]
    conformal: ConformalSpec
    review: ReviewSpec
    outliers: OutlierSpec | None = None  # None in a bundle that does not tell films from other pictures
    opset: int
    created_at: str
    git_commit: str
    data_fingerprint: str
    training_config: dict[str, Any]
    versions: dict[str, str]
    # Metrics on the test split, as training.evaluation writes them; empty until evaluated
    test_metrics: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str]  # SHA-256 (hex) of every file of the bundle except the manifest

    @model_validator(mode="after")
    def _is_complete(self) -> "ModelManifest":
        if self.findings != FINDINGS:
            raise ValueError(f"findings must be {[f.value for f in FINDINGS]} in this order, found {list(self.findings)}")
        if "balanced" not in self.operating_points:
            raise ValueError("operating_points must contain 'balanced', the default")
        missing = [name for name in REQUIRED_FILES if name not in self.files]
        if missing:
            raise ValueError(f"files lacks {', '.join(missing)}")
        if self.outliers is not None and OUTLIERS_NAME not in self.files:
            raise ValueError(f"outliers needs {OUTLIERS_NAME} among the files")
        for name in self.files:
            if Path(name).name != name or name == MANIFEST_NAME:
                raise ValueError(f"file name {name!r} must be a plain name inside the bundle")
        return self
