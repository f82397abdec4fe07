"""The decoding process and its messages."""

import subprocess
import sys

import pytest

from service.film.errors import UnreadableImage
from service.film.limits import DecodeLimits
from service.sandbox import messages
from tests.support.encoded_films import encode, film
from tests.support.server.serving import ROOT

pytestmark = pytest.mark.slow


STUCK = """
import time
from service.sandbox import __main__ as sandbox
sandbox.Radiograph.from_bytes = lambda *film, **options: time.sleep(3600)
sandbox.main(1 << 30)
"""


def test_a_process_ends_in_the_middle_of_a_film_when_its_service_is_gone():
    process = subprocess.Popen([sys.executable, "-c", STUCK], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process.stdout:
        assert messages.read_header(process.stdout.read) == {"ready": True}
        for part in messages.request(encode(film(), "JPEG"), 256, DecodeLimits()):
            process.stdin.write(part)
        process.stdin.close()
        assert process.wait(30) == 0


def test_the_longest_message_fits_its_head():
    head, body = messages.refusal(UnreadableImage("\u200b" * 10_000))
    assert (len(head), body) == (messages._HEADER_BYTES, b"")


def test_what_a_codec_prints_does_not_pass_for_an_answer():
    code = "import os; from service.sandbox import __main__ as sandbox; answers = sandbox._private_stdout(); "
    code += "os.write(1, b'noise'); answers.write(b'answer'); answers.flush()"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert printed.stdout == b"answer"
