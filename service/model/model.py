"""`load_model().predict("film.dcm")`: a film's bytes -> its prediction, and why. Every caller judges films through `Model`."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

from service.film.arrays import Grid, NetworkValues
from service.film.film import Orientation, Radiograph, open_film
from service.film.limits import DecodeLimits
from service.film.preprocessing import to_model_input
from service.model.bundle import ModelBundle
from service.model.decision import DEFAULT_OPERATING_POINT, Decision, Observed, decide, find_finding
from service.model.findings import FINDINGS, Finding
from service.model.grad_cam import GradCam, zone_shares
from service.model.heatmap import film_png, heatmap_png, overlay_png
from service.model.observer import Observer
from service.model.predictor import Outputs, Predictor, answered, answering_outputs, load_predictor
from service.model.releases import candidates, first_trusted
from service.model.site_profile import Site, SiteProfile
from service.model.upright import set_upright

logger = logging.getLogger(__name__)

# A film: its path, or its bytes.
Film = str | os.PathLike[str] | bytes

# Name of a stage -> context manager that measures its time. Stages are preprocess, infer, observe and explain.
StageTimer = Callable[[str], AbstractContextManager[None]]


def _untimed(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class Prediction(Decision):
    """A model's answer for one film. For research use only.

    finding, confidence, prediction_set, review_required, review_reasons: see `Decision`.
    format, width_px, height_px, orientation: of the film as it was sent; see `Radiograph`.
    """

    probabilities: Mapping[Finding, float]  # calibrated probability of each finding, in the order of `FINDINGS`, summing to 1
    operating_point: str  # name of the decision rule that chose `finding`
    model_version: str  # of the bundle
    site: Site | None  # the site profile that answered; None if the bundle alone did
    format: str
    width_px: int
    height_px: int
    orientation: Orientation
    image_sha256: str  # SHA-256 of the film's bytes, 64 hexadecimal digits
    inference_seconds: float  # time of the model run alone, without decoding
    observed: Observed  # what else was measured on the film; some review reasons follow from it
    # Pooled features, float32 [C]; None if the bundle has no statistics to compare them with
    embedding: NetworkValues | None = field(repr=False, compare=False)

    @property
    def inference_time_ms(self) -> float:
        """Time of the model run alone, in milliseconds, to two decimals."""
        return round(self.inference_seconds * 1000, 2)

    def members(self) -> dict[str, Any]:
        """The members of a JSON object with the answer, as /predict gives them."""
        image = ("format", "width_px", "height_px", "orientation")
        return {
            "site": self.site and self.site.members(),
            "prediction": self.finding,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
            "operating_point": self.operating_point,
            "prediction_set": self.prediction_set,
            "review": {"required": self.review_required, "reasons": self.review_reasons},
            "image": {name: getattr(self, name) for name in image},
            "inference_time_ms": self.inference_time_ms,
        }


@dataclass(frozen=True)
class Explanation:
    """Which parts of a film speak for a finding, by Grad-CAM."""

    target: Finding  # the finding that is explained
    grid: Grid  # float32 [h, w], 0..1, covering the whole film, top row first
    # Share of the grid's sum in each sixth of the film, by the patient's side, right_upper to left_lower
    zones: dict[str, float]
    heatmap_png: bytes = field(repr=False)  # the grid as a grey picture
    overlay_png: bytes = field(repr=False)  # the film with the grid in colour over it
    film_png: bytes | None = field(repr=False)  # the film as it was decoded; None unless asked for


class Model:
    """One bundle, ready to judge films. Its methods may be called by several threads at once.

    bundle: the verified bundle.
    predictor, observer: made from `bundle`.
    timer: gives a context manager for each stage; see `StageTimer`.
    profile: of the site, made for `bundle`; None answers as the bundle was released.

    `manifest` is the bundle's, with the decision parts of the profile.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        predictor: Predictor,
        observer: Observer,
        timer: StageTimer = _untimed,
        profile: SiteProfile | None = None,
    ) -> None:
        self.bundle = bundle
        self.profile = profile
        self.manifest = bundle.manifest if profile is None else profile.apply_to(bundle.manifest)
        self.observer = observer
        self._site_head = None if profile is None else profile.head
        self._predictor = predictor
        self._timer = timer

    @classmethod
    def from_bundle(
        cls, bundle: ModelBundle, threads: int = 1, timer: StageTimer = _untimed, profile: SiteProfile | None = None
    ) -> "Model":
        """Open the graph and prove it on its golden inputs, also through the profile. threads: within one model run.

        Raises BundleError, and of its kinds ProfileError if the profile is at fault.
        """
        return cls(bundle, load_predictor(bundle, threads, profile), Observer.from_bundle(bundle), timer, profile)

    @property
    def site(self) -> Site | None:
        """The site profile that answers; None if the bundle alone does."""
        return None if self.profile is None else self.profile.site

    def predict(self, film: Film, operating_point: str = DEFAULT_OPERATING_POINT) -> Prediction:
        """Judge one film: JPEG, PNG, TIFF, BMP, WebP or DICOM, by its content.

        Raises InputError for a film that cannot be judged or an unknown operating point, and OSError for a path that cannot be
        read.
        """
        data, radiograph = self._decode(film)
        return self.judge(radiograph, data, operating_point)

    def explain(
        self, film: Film, finding: str | None = None, operating_point: str = DEFAULT_OPERATING_POINT
    ) -> tuple[Prediction, Explanation]:
        """Judge one film and explain a finding, by default the predicted one. The first call loads PyTorch, some seconds.

        Raises as `predict`, and UnknownFinding.
        """
        target = None if finding is None else find_finding(finding)
        data, radiograph = self._decode(film)
        return self.judge_and_explain(radiograph, data, operating_point, target, self._grad_cam)

    def judge(self, film: Radiograph, data: bytes, operating_point: str) -> Prediction:
        """`predict` for a film that is decoded and upright already. data: the bytes that it was decoded from."""
        return self._judge(film, data, operating_point, ())[0]

    def judge_and_explain(
        self,
        film: Radiograph,
        data: bytes,
        operating_point: str,
        target: Finding | None,
        grad_cam: GradCam,
        *,
        with_film: bool = False,
    ) -> tuple[Prediction, Explanation]:
        """`explain` for a film that is decoded and upright already, from one model run.

        target: None explains the predicted finding. with_film: also draw the film as it was decoded, for viewers that read
        neither DICOM nor 16 bit.
        """
        prediction, outputs = self._judge(film, data, operating_point, ("features",))
        target = target or prediction.finding
        with self._timer("explain"):
            grid = grad_cam.grid(outputs["features"][0], target)
            return prediction, Explanation(
                target=target,
                grid=grid,
                zones=zone_shares(grid),
                heatmap_png=heatmap_png(grid, *film.pixels.shape),
                overlay_png=overlay_png(film.pixels, grid),
                film_png=film_png(film.pixels) if with_film else None,
            )

    def prove(self) -> None:
        """Run one of the golden inputs again, also through the profile. Raises GoldenMismatch."""
        self._predictor.replay_golden(self.bundle, 1, self.profile)

    def load_grad_cam(self) -> GradCam:
        """Grad-CAM of the head that answers. The first call imports PyTorch, some seconds. Raises ManifestInvalid."""
        return GradCam.from_bundle(self.bundle, self._site_head)

    @cached_property
    def _grad_cam(self) -> GradCam:
        return self.load_grad_cam()

    def _decode(self, film: Film) -> tuple[bytes, Radiograph]:
        data = film if isinstance(film, bytes) else Path(film).read_bytes()
        return data, self.upright(open_film(data, DecodeLimits()).decode(self.manifest.preprocess.decode_side_px))

    def upright(self, film: Radiograph) -> Radiograph:
        """The film as it is judged; see `service.model.upright`."""
        statistics = self.observer.statistics
        return film if statistics is None else set_upright(film, self.manifest.preprocess, statistics.mean_film)

    def _judge(self, film: Radiograph, data: bytes, operating_point: str, outputs: Sequence[str]) -> tuple[Prediction, Outputs]:
        """The prediction, and the outputs of its run. outputs: those of the graph to compute beside what a prediction needs."""
        with self._timer("preprocess"):
            images = to_model_input(film, self.manifest.preprocess)[None]
        observed_outputs = ("embedding",) if self.observer.needs_embedding else ()
        needed = dict.fromkeys((*outputs, *answering_outputs(self._site_head), *observed_outputs))
        start = perf_counter()
        with self._timer("infer"):
            values = self._predictor.predict(images, list(needed))
            probabilities = tuple(answered(values, self._site_head)[0].tolist())
        inference_seconds = perf_counter() - start
        with self._timer("observe"):
            embedding = values["embedding"][0] if "embedding" in values else None
            observed = self.observer.observe(film, images[0], embedding)
        prediction = Prediction(
            **vars(decide(probabilities, self.manifest, operating_point, observed)),
            probabilities=dict(zip(FINDINGS, probabilities, strict=True)),
            operating_point=operating_point,
            model_version=self.manifest.version,
            site=self.site,
            format=film.format,
            width_px=film.width_px,
            height_px=film.height_px,
            orientation=film.orientation,
            image_sha256=sha256(data).hexdigest(),
            inference_seconds=inference_seconds,
            observed=observed,
            embedding=embedding,
        )
        return prediction, values


def load_model(bundle: str | os.PathLike[str] | None = None, site: str | os.PathLike[str] | None = None) -> Model:
    """Open a bundle, verify its files, and prove it on its golden inputs. Takes about a second, and needs no PyTorch.

    bundle: a bundle folder, or a tag of BentoML's model store such as "chest-xray:2.1.0". By default the release that the
        service serves without settings: the choice of `cxr registry promote`, else the highest version in `models/`. If that
        one cannot be trusted, an older one is loaded, with an error in the log. The environment variable CXR_BUNDLE is not
        read here: it is a setting of the service.
    site: folder of a site profile that belongs to the bundle, or "none". By default the profile that was chosen with the
        release, or none if `bundle` is given.

    Raises BundleError if the bundle cannot be trusted, or the profile cannot be applied to it.
    """
    setting = None if bundle is None else os.fspath(bundle)
    found = candidates(setting, None if site is None else os.fspath(site))
    # A bundle that is named is the one to load.
    model, faults = first_trusted(
        found if setting is None else found[:1], lambda opened, profile: Model.from_bundle(opened, profile=profile)
    )
    if model is None:
        raise faults[0]
    for fault in faults:
        logger.error("%s Using %s %s instead.", fault, model.manifest.name, model.manifest.version)
    return model
