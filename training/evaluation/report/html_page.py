"""One HTML file that needs nothing beside it: style inside, pictures inside, no scripts, nothing fetched.

Readable on a phone and on paper, in light and dark.
"""

import base64
import html
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Forbids a reader's browser to load anything but what is in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #59636e; --line: #d1d9e0; --shade: #f6f8fa;
  --link: #0b5fad; --warn: #8c1d18; --warn-paper: #fdecea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --paper: #14181d; --faint: #9aa5b1; --line: #343c46; --shade: #1d232a; --link: #7cb7f5;
    --warn: #ffb4ab; --warn-paper: #3b1513; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.3rem; margin-top: 2.5rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin-top: 1.75rem; }
p, ul { max-width: 46rem; }
a { color: var(--link); }
nav { background: var(--shade); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; }
nav ul { margin: .5rem 0; padding-left: 1.1rem; columns: 16rem; }
nav summary { font-weight: 600; cursor: pointer; padding: .25rem 0; }
.table { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: .5rem; max-width: 100%;
  width: fit-content; }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { background: var(--shade); vertical-align: bottom; text-align: left; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); max-width: 45vw; white-space: normal;
  min-width: 6.5rem; }
th:first-child { background: var(--shade); }
td.long { white-space: normal; min-width: 14rem; }
@media (min-width: 50rem) { th:first-child, td:first-child { max-width: none; white-space: nowrap; } }
p:has(> img) { max-width: none; overflow-x: auto; }
img.wide { min-width: 44rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .5rem; }
pre { background: var(--shade); padding: .75rem; border-radius: .5rem; white-space: pre-wrap; }
code { background: var(--shade); border-radius: .25rem; padding: .1em .25em; font-size: .9em; }
pre code { padding: 0; }
.warning { color: var(--warn); background: var(--warn-paper); border: 2px solid; border-radius: .5rem; padding: .75rem 1rem;
  font-weight: 600; max-width: none; }
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--shade); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; align-items: start; }
.pair img { width: 100%; }
figcaption { font-size: .875rem; margin-top: .5rem; }
small { color: var(--faint); }
@media print { .table { overflow: visible; } nav { display: none; } }
"""

# A cell longer than this is prose, and may break.
_LONG_CELL = 40

# Several panels side by side; on a phone such a picture scrolls instead of shrinking beyond reading.
_WIDE_PX = 900


def html_page(title: str, body: str) -> str:
    """A whole document around a body of trusted HTML. title: plain text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def markdown_page(markdown: str, folder: Path) -> str:
    """A report in Markdown as one HTML document: contents after the first heading, tables that scroll, pictures embedded.

    folder: which the paths of pictures (PNG) are relative to. HTML in the Markdown is shown as text. Raises OSError if a
    picture cannot be read.
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
    """PNG specification, 11.2.1: the header chunk comes first, and its first member is the width."""
    return int.from_bytes(png[16:20], "big")
