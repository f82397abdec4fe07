"""The JSON answers as pydantic models, which serialise them and describe them in OpenAPI."""

import base64
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.film.errors import ChestXrayError
from service.film.film import Orientation
from service.http.call import current_call
from service.http.problems import problem_of
from service.model.decision import ReviewReason
from service.model.findings import Finding
from service.model.model import Explanation
from service.pipeline import Pipeline, ServedPrediction


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Review(_Answer):
    """Whether a person must review the film, and why."""

    required: bool
    reasons: tuple[ReviewReason, ...] = Field(description="In this order; ReviewReason says what each means.")


class ImageFacts(_Answer):
    """The film as it was sent, upright."""

    format: str
    width_px: int
    height_px: int
    orientation: Orientation = Field(
        description="stated: the DICOM header says how the film lies, and it was turned and mirrored so that the patient's "
        "right is on the left of every picture of it. assumed: no header says so; films usually lie like that."
    )


class FilmAnswer(_Answer):
    """The result for one film. confidence: the calibrated probability of `prediction`."""

    prediction: Finding
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[Finding, float]
    operating_point: str
    prediction_set: tuple[Finding, ...] = Field(description="The conformal set at the model's coverage, most probable first.")
    review: Review
    image: ImageFacts
    inference_time_ms: float = Field(description="Time of the model run alone.")


class RequestFacts(_Answer):
    """Identifies the request."""

    request_id: str = Field(description="The client's X-Request-ID, or a new one; for logs and traces.")


class PredictionFacts(_Answer):
    """Identifies the prediction."""

    prediction_id: str = Field(description="Unique; /feedback and /incidents refer to it.")


class SiteFacts(_Answer):
    """Identifies a site profile."""

    name: str = Field(description="Name of the site.")
    version: int = Field(ge=1, description="Version of the profile.")


class ModelFacts(_Answer):
    """Identifies the model, and the site profile if one was applied."""

    model_version: str
    site: SiteFacts | None = Field(
        description="The site profile that was applied; /model/info describes it. null: the model answered as it was released, "
        "and was not commissioned for any site."
    )


# Pydantic lists fields from the last base class to the first, so an answer begins with the request_id.
class PredictionAnswer(FilmAnswer, ModelFacts, PredictionFacts, RequestFacts):
    """Answer of /predict."""


class ExplanationFacts(_Answer):
    """Grad-CAM of the target. grid: 0..1, top row first; zones: shares by the patient's side, summing to 1; PNG as base64."""

    method: Literal["grad-cam"] = "grad-cam"
    target: Finding
    grid: tuple[tuple[float, ...], ...]
    zones: dict[str, float]
    heatmap_png: str
    overlay_png: str
    # The film as it was decoded, if requested
    film_png: str | None = Field(default=None, exclude_if=lambda picture: picture is None)


class ExplainAnswer(PredictionAnswer):
    """Answer of /predict/explain."""

    explanation: ExplanationFacts


class ProblemFacts(_Answer):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class BatchPrediction(FilmAnswer, PredictionFacts):
    """A film of a batch that was judged. index: its position in the request, from 0."""

    index: int


class BatchProblem(_Answer):
    """A film of a batch that was refused, or could not be judged now."""

    index: int
    error: ProblemFacts


class BatchAnswer(ModelFacts, RequestFacts):
    """Answer of /predict/batch: one result for each film, in the order sent; a refused film has `error` instead."""

    results: tuple[BatchPrediction | BatchProblem, ...]


def prediction_answer(prediction: ServedPrediction) -> PredictionAnswer:
    """The JSON of a prediction."""
    return PredictionAnswer(**_members(prediction))


def explain_answer(prediction: ServedPrediction, explanation: Explanation) -> ExplainAnswer:
    """The JSON of a prediction and its explanation."""
    facts = ExplanationFacts(
        target=explanation.target,
        grid=explanation.grid.tolist(),
        zones=explanation.zones,
        heatmap_png=_base64(explanation.heatmap_png),
        overlay_png=_base64(explanation.overlay_png),
        film_png=None if explanation.film_png is None else _base64(explanation.film_png),
    )
    return ExplainAnswer(explanation=facts, **_members(prediction))


def batch_answer(results: list[ServedPrediction | ChestXrayError], pipeline: Pipeline) -> BatchAnswer:
    """The JSON of a batch.

    results: a prediction, or an error of a class in `STATUS_OF`, for each film in the order sent.
    pipeline: the one that judged the films.
    """
    items = tuple(
        BatchProblem(index=index, error=ProblemFacts(**problem_of(result).members()))
        if isinstance(result, ChestXrayError)
        else BatchPrediction(index=index, **result.members())
        for index, result in enumerate(results)
    )
    return BatchAnswer(
        request_id=current_call().request_id,
        model_version=pipeline.manifest.version,
        site=None if pipeline.site is None else SiteFacts(**pipeline.site.members()),
        results=items,
    )


def _members(prediction: ServedPrediction) -> dict[str, Any]:
    return prediction.members() | {"request_id": current_call().request_id, "model_version": prediction.model_version}


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")
