"""HTML documents that need no other file: styles and pictures are inside, there are no scripts, and nothing is fetched."""

import base64
import html
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Content Security Policy: the browser loads nothing from outside the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = Path(__file__).with_name("page.css")

# Cells longer than this, in characters, are prose and may wrap.
_LONG_CELL = 40

# Wider plots have several panels; on a phone they scroll instead of shrinking.
_WIDE_PX = 900


def html_page(title: str, body: str) -> str:
    """A whole document. title: plain text. body: trusted HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE.read_text('utf-8')}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def markdown_page(markdown: str, folder: Path) -> str:
    """A report in Markdown as one HTML document: contents after the first heading, tables that scroll, plots embedded.

    HTML in the Markdown is shown as text. folder: what the paths of the plots (PNG) are relative to. Raises OSError if a plot
    cannot be read.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    headings = _number_headings(tokens)
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                png = (folder / str(child.attrs["src"])).read_bytes()
                child.attrs["src"] = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
                if _width_px(png) >= _WIDE_PX:
                    child.attrs["class"] = "wide"
    title = next((text for level, text, _ in headings if level == 1), "Report")
    body = str(parser.renderer.render(tokens, parser.options, {}))
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    body = re.sub(rf"<td( style=\"[^\"]*\")?>([^<]{{{_LONG_CELL},}})</td>", r'<td class="long"\1>\2</td>', body)
    return html_page(title, body.replace("</h1>", f"</h1>\n{_contents(headings)}", 1))


def _number_headings(tokens: Sequence[Token]) -> list[tuple[int, str, str]]:
    """Give each heading an anchor; returns level, text and anchor of each."""
    headings: list[tuple[int, str, str]] = []
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            anchor = f"section-{len(headings)}"
            opening.attrs["id"] = anchor
            headings.append((int(opening.tag[1]), content.content, anchor))
    return headings


def _contents(headings: Sequence[tuple[int, str, str]]) -> str:
    entries = "".join(f'<li><a href="#{anchor}">{html.escape(text)}</a></li>' for level, text, anchor in headings if level == 2)
    return f"<nav><details open><summary>Contents</summary><ul>{entries}</ul></details></nav>"


def _width_px(png: bytes) -> int:
    """Width of a PNG: the first field of the header chunk, which comes first (PNG specification, 11.2.1)."""
    return int.from_bytes(png[16:20], "big")
