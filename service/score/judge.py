"""Runs in each process of the pool: judges one film after another."""

import multiprocessing
import os
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cv2

from service.errors import DecoderFailed, UploadTooLarge
from service.film.errors import ChestXrayError, UnreadableImage, UnsupportedFormat
from service.film.limits import DecodeLimits
from service.model import load_model
from service.pipeline import Pipeline, silence_decoding_libraries
from service.sandbox.decoder import SandboxedDecoder
from service.score.films import is_called_a_picture
from service.score.rows import Row, model_columns, refusal_row, row_of

# A film of 64 million pixels in JPEG 2000 takes some seconds; nothing that can be read takes a minute.
FILM_SECONDS = 60.0

MAX_FILE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Task:
    """How films are judged."""

    folder: Path  # that film paths are relative to
    bundle: Path  # folder of the bundle
    operating_point: str  # decision rule, by its name in the bundle
    max_pixels: int  # largest film that is decoded
    every_file: bool = False  # whether a file that neither is a picture nor is called one gets a row, too
    site: Path | None = None  # folder of the site profile; None applies none


# Made by `prepare`, in each process of the pool.
_ready: tuple[Task, Pipeline] | None = None


def prepare(task: Task) -> None:
    """Make this process ready to judge."""
    global _ready  # noqa: PLW0603 (a process belongs to one task)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    silence_decoding_libraries()
    limits = DecodeLimits(max_pixels=task.max_pixels)
    _ready = task, Pipeline(load_model(task.bundle, task.site), limits, SandboxedDecoder(limits))


def judge(path: str) -> Row | None:
    """The film's row; None for a file that is no picture and has no picture's name.

    Raises DecoderFailed if this machine cannot decode, which is no fault of the film.
    """
    if _ready is None:
        raise RuntimeError("prepare was not called")
    task, pipeline = _ready
    model = model_columns(pipeline.manifest.version, pipeline.site)
    data = b""
    try:
        data = _read(task.folder / path)
        prediction = pipeline.predict(data, task.operating_point, time.monotonic() + FILM_SECONDS)
    except UnsupportedFormat as error:
        if task.every_file or is_called_a_picture(path):
            return refusal_row(path, data, error, model)
        return None
    except DecoderFailed:
        raise
    except ChestXrayError as error:
        return refusal_row(path, data, error, model)
    return row_of(path, prediction)


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for its writer
            raise UnreadableImage("The file is no regular file.")
        if found.st_size > MAX_FILE_BYTES:
            raise UploadTooLarge(f"The file is longer than {MAX_FILE_BYTES} bytes.")
        return path.read_bytes()
    except OSError as fault:
        raise UnreadableImage(f"The file cannot be read: {fault.strerror}.") from fault


def _end_with_parent() -> None:
    """End this process when the parent ends, however that ended: a parent that is killed cannot end its children."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
