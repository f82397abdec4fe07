"""Wire format of the sandbox's pipes: a head of JSON, then a body of the length that it states. No pickling.

A process first says that it is ready. A request is a film and how to decode it; an answer is the Radiograph or the InputError.
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

_HEAD_BYTES = 4096
# Of a refusal's message, each of which may take six bytes as JSON.
_MESSAGE_CHARACTERS = 600

# The only classes that an answer can name.
_REFUSALS = {kind.__name__: kind for kind in errors.InputError.__subclasses__()}


def ready() -> bytes:
    """Head that a process sends once, when it can take films."""
    return _head({"ready": True})


def request(film: bytes, decode_side_px: int | None, limits: DecodeLimits) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    return _head({"bytes": len(film), "decode_side_px": decode_side_px, "limits": asdict(limits)}), film


def parse_request(head: dict[str, Any], read: Read) -> tuple[bytes, int | None, DecodeLimits]:
    """What `request` was given."""
    return read(head["bytes"]), head["decode_side_px"], DecodeLimits(**head["limits"])


def answer(film: Radiograph) -> tuple[bytes, bytes]:
    """Head and body of an answer."""
    facts = {name: value for name, value in vars(film).items() if name != "pixels"}
    return _head({"shape": film.pixels.shape, "facts": facts}), film.pixels.tobytes()


def refusal(error: errors.InputError) -> tuple[bytes, bytes]:
    """Head and body of a refusal."""
    return _head({"refusal": type(error).__name__, "message": str(error)[:_MESSAGE_CHARACTERS]}), b""


def parse_answer(head: dict[str, Any], read: Read) -> Radiograph:
    """The film. Raises the InputError that the answer is, or ValueError if it is no answer."""
    try:
        if "refusal" in head:
            refused = _REFUSALS[head["refusal"]](head["message"])
        else:
            height, width = head["shape"]
            pixels = np.frombuffer(read(height * width), dtype=np.uint8).reshape(height, width)
            return Radiograph(pixels=pixels, **head["facts"])
    except (KeyError, TypeError) as fault:
        raise ValueError("neither a film nor a refusal") from fault
    raise refused


def read_head(read: Read) -> dict[str, Any] | None:
    """The next head; None at the end of the stream."""
    line = read(_HEAD_BYTES)
    if not line:
        return None
    values: dict[str, Any] = json.loads(line)
    return values


def _head(values: dict[str, Any]) -> bytes:
    # Of fixed length, so that it is read without looking for its end.
    return json.dumps(values).encode().ljust(_HEAD_BYTES)
