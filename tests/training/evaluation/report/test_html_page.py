"""The report's HTML page: nothing but itself is needed to read it."""

import base64
import re

import cv2
import numpy as np
import pytest

from training.evaluation.report.html_page import markdown_page

MARKDOWN = """# Report

![A picture](figures/small.png)

## First <b>part</b>

| a | b |
| --- | ---: |
| x | 1.000 |
| <script>alert(1)</script> | a cell that is prose, and longer than any number would ever be |

### Detail

## Second part

![Panels](figures/large.png)
"""


@pytest.fixture
def page(tmp_path) -> str:
    (tmp_path / "figures").mkdir()
    for name, width in (("small", 20), ("large", 1200)):
        picture = np.full((10, width), 128, np.uint8)
        (tmp_path / "figures" / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return markdown_page(MARKDOWN, tmp_path)


def test_pictures_are_inside_and_nothing_is_fetched(page, tmp_path):
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert base64.b64decode(sources[0].partition(",")[2]) == (tmp_path / "figures" / "small.png").read_bytes()
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))
    assert not re.search(r"<(script|link|iframe)|@import|url\(|https?://", page)
    assert "default-src 'none'" in page


def test_contents_lead_to_the_sections(page):
    contents = re.search(r"<nav>.*</nav>", page).group()
    targets = dict(re.findall(r'<a href="#([^"]+)">([^<]*)</a>', contents))
    assert list(targets.values()) == ["First &lt;b&gt;part&lt;/b&gt;", "Second part"]
    assert all(f'id="{anchor}"' in page for anchor in targets)
    assert page.index("</h1>") < page.index("<nav>")


def test_names_from_the_data_cannot_become_markup(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>" not in page


def test_tables_and_wide_pictures_scroll_on_a_phone(page):
    assert page.count('<div class="table" tabindex="0"><table>') == page.count("</table></div>") == 1
    assert 'name="viewport"' in page
    assert [tag.count('class="wide"') for tag in re.findall(r"<img[^>]*>", page)] == [0, 1]
    assert len(re.findall(r'<td class="long"[^>]*>a cell that is prose', page)) == 1


def test_a_picture_that_was_not_drawn_stops_the_page(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        markdown_page("![gone](figures/absent.png)", tmp_path)
