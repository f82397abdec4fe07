"""The web page in a browser: Chromium, films to upload, and requests that are held up."""

import os
import re
import shutil

import pytest
from playwright.sync_api import expect

from tests.support.encoded_films import dicom_file, encode, film

CHROMIUM = os.environ.get("CXR_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="neither chromium nor google-chrome is installed; CXR_TEST_CHROMIUM can name one"),
]

# The second line keeps Chromium from asking its makers' hosts; the third, from finding those that it asks all the same.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}

FILM = ("one.png", encode(film(256), "PNG"))
DICOM = ("two.dcm", dicom_file(film(300)))
NO_FILM = ("notes.txt", b"no film")


def upload(page, *files):
    page.set_input_files("#films", [{"name": name, "mimeType": "", "buffer": data} for name, data in files])
    expect(page.locator("#cancel")).to_be_hidden()


def answer_of(page, *files):
    """Upload, and the service's answer for the first explanation."""
    with page.expect_response(re.compile("predict/explain")) as waiting:
        upload(page, *files)
    return waiting.value.json()


def asked_of(page, path):
    return sum(path in url for url in page.asked)


def hold_up_a_film(page):
    """The next film goes on its way only once the route in this list is told to continue."""
    held = []

    def hold(route):
        held.append(route)

    page.route("**/predict/explain*", hold, times=1)
    return held
