"""Wire format of the sandbox pipes: a JSON header of fixed length, then bytes, as many as the header says. No pickling.

A process first sends `ready`. A request is a film and how to decode it; an answer is the Radiograph or the InputError.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from service.film import errors
from service.film.film import Radiograph
from service.film.limits import DecodeLimits

Read = Callable[[int], bytes]

_HEADER_BYTES = 4096
# Longest message of a refusal: at up to six bytes a character in JSON, it fits into a header.
_MESSAGE_CHARACTERS = 600

# The only classes that an answer can name: those of films, not those of requests.
_REFUSALS = {kind.__name__: kind for kind in errors.InputError.__subclasses__() if kind.__module__ == errors.__name__}


def ready() -> bytes:
    """Header that a process sends once, when it can take films."""
    return _header({"ready": True})


def request(film: bytes, decode_side_px: int | None, limits: DecodeLimits) -> tuple[bytes, bytes]:
    """Header and payload of a request."""
    return _header({"bytes": len(film), "decode_side_px": decode_side_px, "limits": asdict(limits)}), film


def parse_request(header: dict[str, Any], read: Read) -> tuple[bytes, int | None, DecodeLimits]:
    """The arguments of `request`."""
    return read(header["bytes"]), header["decode_side_px"], DecodeLimits(**header["limits"])


def answer(film: Radiograph) -> tuple[bytes, bytes]:
    """Header and payload of an answer."""
    facts = {name: value for name, value in vars(film).items() if name != "pixels"}
    return _header({"shape": film.pixels.shape, "facts": facts}), film.pixels.tobytes()


def refusal(error: errors.InputError) -> tuple[bytes, bytes]:
    """Header and payload of a refusal."""
    return _header({"refusal": type(error).__name__, "message": str(error)[:_MESSAGE_CHARACTERS]}), b""


def parse_answer(header: dict[str, Any], read: Read) -> Radiograph:
    """The film. Raises the InputError of a refusal, or ValueError for anything else."""
    try:
        if "refusal" in header:
            refused = _REFUSALS[header["refusal"]](header["message"])
        else:
            height, width = header["shape"]
            pixels = np.frombuffer(read(height * width), dtype=np.uint8).reshape(height, width)
            return Radiograph(pixels=pixels, **header["facts"])
    except (KeyError, TypeError) as fault:
        raise ValueError("neither a film nor a refusal") from fault
    raise refused


def read_header(read: Read) -> dict[str, Any] | None:
    """The next header; None at the end of the stream."""
    text = read(_HEADER_BYTES)
    if not text:
        return None
    values: dict[str, Any] = json.loads(text)
    return values


def _header(values: dict[str, Any]) -> bytes:
    # Padded with blanks, which JSON ignores: a reader need not search for the end.
    return json.dumps(values).encode().ljust(_HEADER_BYTES)
