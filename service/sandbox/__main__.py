"""The process that decodes: films in by stdin, answers out by stdout, until stdin ends. `python -m service.sandbox BYTES`."""

import os
import select
import sys
import threading
from typing import BinaryIO

import cv2

from service.film.errors import InputError, UnreadableImage
from service.film.film import Radiograph
from service.sandbox import messages


def main(room_bytes: int) -> None:
    """room_bytes: memory that decoding may take beyond what the process has when it is ready."""
    cv2.setNumThreads(1)
    _end_with_service()
    _limit_memory(room_bytes)
    stdin, stdout = sys.stdin.buffer, _private_stdout()
    os.dup2(1, 2)  # from here on a film may be quoted there
    stdout.write(messages.ready())
    stdout.flush()
    while (head := messages.read_head(stdin.read)) is not None:
        film, decode_side_px, limits = messages.parse_request(head, stdin.read)
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
    """Whatever this process is doing: nobody waits for the answer once the other end of stdin is closed."""
    hang_up = select.poll()
    hang_up.register(0, 0)  # poll tells of POLLHUP unasked

    def wait() -> None:
        hang_up.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _private_stdout() -> BinaryIO:
    """Standard output for answers alone: what a codec prints goes nowhere, where it cannot pass for an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _limit_memory(room_bytes: int) -> None:
    """Where the system can: elsewhere the deadline alone ends what grows."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + room_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the film


if __name__ == "__main__":
    main(int(sys.argv[1]))
