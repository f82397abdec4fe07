"""The decoding process, `python -m service.sandbox BYTES`: films from stdin, answers to stdout, until stdin ends."""

import os
import resource
import select
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import cv2

from service.film.errors import InputError, UnreadableImage
from service.film.film import Radiograph
from service.sandbox import messages


def main(room_bytes: int) -> None:
    """Decode films until stdin ends. room_bytes: memory that decoding may take beyond what the process has when ready."""
    cv2.setNumThreads(1)
    _end_with_service()
    _limit_memory(room_bytes)
    stdin, stdout = sys.stdin.buffer, _private_stdout()
    os.dup2(1, 2)  # discard stderr too: codecs may quote a film in their warnings
    stdout.write(messages.ready())
    stdout.flush()
    while (header := messages.read_header(stdin.read)) is not None:
        film, decode_side_px, limits = messages.parse_request(header, stdin.read)
        try:
            parts = messages.answer(Radiograph.from_bytes(film, decode_side_px=decode_side_px, limits=limits))
        except InputError as error:
            parts = messages.refusal(error)
        except MemoryError:
            parts = messages.refusal(UnreadableImage("The film takes more memory to decode than it may; send a smaller copy."))
        for part in parts:
            stdout.write(part)
        stdout.flush()


def _end_with_service() -> None:
    """End this process, even while it decodes, when the service closes its end of stdin."""
    hang_up = select.poll()
    hang_up.register(0, 0)  # poll always reports POLLHUP

    def wait() -> None:
        hang_up.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _private_stdout() -> BinaryIO:
    """Standard output for answers. What else is printed is discarded, so that a codec's text cannot pass for an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _limit_memory(room_bytes: int) -> None:
    """Limit this process's memory, where the system can; elsewhere only the deadline ends a film that grows."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + room_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the film


if __name__ == "__main__":
    main(int(sys.argv[1]))
