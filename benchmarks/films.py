"""Phantom films as the bodies of requests."""

from collections.abc import Sequence
from pathlib import Path

import cv2

from export.phantom import phantom_film
from service.model.findings import FINDINGS

# About the quality at which viewers of hospitals export; it decides a film's size in bytes and so the time to decode it.
JPEG_QUALITY = 90

_BOUNDARY = "chest-xray-benchmark"
MULTIPART_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"
RAW_TYPE = "application/octet-stream"


def jpeg_films(size_px: int, count: int) -> list[bytes]:
    """`count` different grey phantom films, size_px x size_px, the findings taking turns."""
    films = [phantom_film(FINDINGS[index % len(FINDINGS)], seed=index, size_px=size_px) for index in range(count)]
    return [cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes() for film in films]


def multipart_body(film: bytes) -> bytes:
    """A form (RFC 7578) with one file field `image`, of the media type MULTIPART_TYPE."""
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="image"; filename="film.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode("ascii") + film + f"\r\n--{_BOUNDARY}--\r\n".encode("ascii")


def write_bodies(folder: Path, bodies: Sequence[bytes]) -> tuple[str, ...]:
    """Write each body to a file of its own, for the client process to read. Returns their paths."""
    folder.mkdir(parents=True)
    paths = [folder / str(index) for index in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    return tuple(str(path) for path in paths)
