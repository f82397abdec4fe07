"""The OpenAPI document at /docs.json: BentoML's own, completed with what it cannot know."""

from typing import Any

from service.http.answers import ProblemFacts
from service.http.forms import OPTIONS, RequestForm
from service.http.problems import MEDIA_TYPE

_PROBLEM_SCHEMA = "#/components/schemas/ProblemFacts"

_PROBLEMS = {
    "400": "The request or the film's file is damaged, or names an unknown option.",
    "413": "The body, or the film's pixel count, is over the limit.",
    "415": "Not an image format that the service reads.",
    "422": "An image that is read but not judged: too small, too long, several frames, unsupported DICOM.",
    "503": "Overloaded, or no trusted model is loaded; see Retry-After.",
    "504": "Not finished in time.",
}


def complete(document: dict[str, Any], forms: dict[str, type[RequestForm]], summary: str) -> dict[str, Any]:
    """Add raw bodies, query parameters, problems and the GET routes to BentoML's document, in place; returns it.

    forms: the form that each POST path reads.
    """
    document["info"] |= {"title": "Chest X-ray classification", "description": summary}
    document["info"].pop("contact", None)
    # BentoML describes its own error bodies, which never leave this service, and a task API that it does not have.
    schemas = document["components"]["schemas"]
    for name in ("InvalidArgument", "NotFound", "InternalServerError", "TaskStatusResponse"):
        schemas.pop(name, None)
    schemas["ProblemFacts"] = ProblemFacts.model_json_schema()
    for path, form in forms.items():
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]
        body["required"] = True
        for media in body["content"].values():
            media.pop("encoding", None)
        if form.takes_raw_body:
            body["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        operation["parameters"] = [_query_parameter(name) for name in form.options]
        operation["responses"] = {"200": operation["responses"].get("200") or operation["responses"][200]} | {
            status: _problem(description) for status, description in _PROBLEMS.items()
        }
    explained = document["paths"]["/predict/explain"]["post"]["responses"]["200"]["content"]
    explained["image/png"] = {"schema": {"type": "string", "format": "binary", "description": "The overlay."}}
    document["paths"] |= {
        "/health": {"get": _get("Status, model version, and why the model is unavailable if it is.", "503")},
        "/model/info": {"get": _get("Metadata of the model being served.", "503")},
    }
    return document


def _query_parameter(name: str) -> dict[str, Any]:
    schema = {key: value for key, value in OPTIONS[name].items() if key != "description"}
    return {"name": name, "in": "query", "required": False, "description": OPTIONS[name]["description"], "schema": schema}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM_SCHEMA}}}}


def _get(description: str, *statuses: str) -> dict[str, Any]:
    answered = {"200": {"description": "Answered.", "content": {"application/json": {"schema": {"type": "object"}}}}}
    return {
        "tags": ["Service APIs"],
        "description": description,
        "responses": answered | {status: _problem(_PROBLEMS[status]) for status in statuses},
    }
