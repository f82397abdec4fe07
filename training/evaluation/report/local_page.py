"""A local page with films of patients beside their Grad-CAM maps."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2

from service.film.arrays import GreyPixels
from service.model.heatmap import OVERLAY_SIDE_PX
from training.evaluation.report.html_page import html_page

# Folder within the results for files that show films of patients.
LOCAL_FOLDER = "local"

BANNER = (
    "This file shows films of patients. It stays on this machine: do not publish it, send it or put it under version control."
)


def write_local_page(path: Path, title: str, introduction: str, figures: Iterable[str]) -> None:
    """Write a page of figures, creating its folder. title, introduction: plain text. figures: HTML from `film_figure`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = [
        f'<p class="warning">{BANNER}</p>',
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(introduction)}</p>",
        '<div class="films">',
        *figures,
        "</div>",
    ]
    path.write_text(html_page(title, "\n".join(body)), encoding="utf-8")


def film_figure(film: GreyPixels, overlay: bytes, finding: str, caption: Sequence[str], small_print: str) -> str:
    """A film beside its map, as HTML.

    film: uint8 [H, W]. overlay: PNG of the film with its map. finding: the one that the map explains. caption: lines of
    trusted HTML. small_print: a line of plain text.
    """
    pair = f"{_image(_small_png(film), 'the film')}{_image(overlay, f'what speaks for {finding}')}"
    lines = "<br>".join([*caption, f"<small>{html.escape(small_print)}</small>"])
    return f'<figure><div class="pair">{pair}</div><figcaption>{lines}</figcaption></figure>'


def _small_png(pixels: GreyPixels) -> bytes:
    """The film at the size of the overlay beside it."""
    scale = OVERLAY_SIDE_PX / max(pixels.shape)
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.imencode(".png", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))[1].tobytes()


def _image(png: bytes, alt: str) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}" alt="{html.escape(alt)}">'
