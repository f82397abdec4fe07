"""Cost of films of other sizes and formats relative to a JPEG of 512 px, from bytes to decision, without HTTP."""

import io
import statistics
from collections.abc import Mapping
from time import monotonic, perf_counter

import cv2
import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ComputedRadiographyImageStorage, JPEG2000Lossless

from benchmarks.films import jpeg_films
from export.phantom import phantom_film
from service.film.arrays import DeepPixels
from service.film.limits import DecodeLimits
from service.model.bundle import ModelBundle
from service.model.findings import Finding
from service.model.model import Model
from service.pipeline import Pipeline
from service.sandbox.decoder import SandboxedDecoder

REFERENCE = "JPEG, 512 px"
LARGE_JPEG = "JPEG, 2048 px"


def input_films() -> dict[str, bytes]:
    """One drawn film of each kind, by name."""
    deep = phantom_film(Finding.PNEUMONIA, seed=1, size_px=2048).astype(np.uint16) * 16
    frame = bytes(imagecodecs.jpeg2k_encode(deep, reversible=True, codecformat="j2k"))
    return {
        REFERENCE: jpeg_films(512, 1)[0],
        LARGE_JPEG: jpeg_films(2048, 1)[0],
        "JPEG, 3000 px": jpeg_films(3000, 1)[0],
        "PNG, 16 bit, 2048 px": cv2.imencode(".png", deep)[1].tobytes(),
        "DICOM, 12 bit, 2048 px": _dicom(deep),
        "DICOM, JPEG 2000, 2048 px": _dicom(deep, frame),
    }


def input_costs(bundle: ModelBundle, rounds: int) -> Mapping[str, tuple[float, float]]:
    """Name -> median milliseconds on the clock, and median ratio to REFERENCE in the same round."""
    cv2.setNumThreads(1)
    sandbox = SandboxedDecoder(DecodeLimits())
    pipeline = Pipeline(Model.from_bundle(bundle), DecodeLimits(), sandbox)
    films = input_films()
    times: dict[str, list[float]] = {name: [] for name in films}
    for round_number in range(rounds + 1):
        for name, film in films.items():
            start = perf_counter()
            pipeline.predict(film, "balanced", monotonic() + 60)
            if round_number:  # the first one starts the sandbox
                times[name].append(1000 * (perf_counter() - start))
    sandbox.close()
    return {
        name: (
            statistics.median(taken),
            statistics.median(own / reference for own, reference in zip(taken, times[REFERENCE], strict=True)),
        )
        for name, taken in times.items()
    }


def _dicom(deep: DeepPixels, frame: bytes | None = None) -> bytes:
    """A DICOM file with these pixels, uncompressed or as this frame in JPEG 2000."""
    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.set_pixel_data(deep, "MONOCHROME2", bits_stored=12)
    if frame is not None:
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
