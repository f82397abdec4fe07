"""Options of the prediction endpoints, in the query or as form fields; each at most once."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.errors import MalformedRequest
from service.model.decision import DEFAULT_OPERATING_POINT
from service.model.findings import FINDINGS

OPTIONS: dict[str, dict[str, Any]] = {
    "operating_point": {
        "type": "string",
        "default": DEFAULT_OPERATING_POINT,
        "description": "Decision rule; /model/info lists them.",
    },
    "target": {
        "type": "string",
        "enum": [finding.value for finding in FINDINGS],
        "description": "The class to explain; by default the predicted one.",
    },
    "film": {
        "type": "boolean",
        "default": False,
        "description": "Whether to return the film as well, as it was decoded: grey, 8 bit, PNG.",
    },
}


def read_options(query: Iterable[tuple[str, str]], fields: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Name -> value of the options in OPTIONS; other names are ignored.

    query, fields: names and values in the query and in the form.
    Raises MalformedRequest for an option given twice, even with the same value.
    """
    options: dict[str, str] = {}
    for name, value in (*query, *((name, _unquoted(text)) for name, text in fields)):
        if name in options:
            raise MalformedRequest(f"{name!r} is given more than once, in the query or the form; give it once.")
        if name in OPTIONS:
            options[name] = value
    return options


def read_flag(options: Mapping[str, str], name: str) -> bool:
    """A boolean option, by default false. Raises MalformedRequest."""
    value = options.get(name, "false")
    if value not in ("true", "false"):
        raise MalformedRequest(f"{name!r} is {value[:64]!r}; send true or false.")
    return value == "true"


def _unquoted(text: str) -> str:
    """The text without JSON's quotes: BentoML's clients encode every field but files as JSON. No valid value is quoted."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
