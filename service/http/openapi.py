"""The OpenAPI document at /docs.json: BentoML's, with additions and corrections."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from service import __version__
from service.http.answers import ModelFacts, ProblemFacts
from service.http.body.forms import RequestForm
from service.http.body.options import OPTIONS
from service.http.body.reports import AuditQuery, FeedbackBody, IncidentBody
from service.http.middleware.recording import PREDICTION_ID_HEADER
from service.http.problems import MEDIA_TYPE

_REFERENCE = "#/components/schemas/{model}"
_PROBLEM_SCHEMA = _REFERENCE.format(model="ProblemFacts")

_PROBLEMS = {
    "400": "The request or the film is damaged, or an option is unknown.",
    "401": "API key or token missing, wrong, expired or revoked.",
    "403": "The caller's role, or the address, is not allowed here.",
    "404": "There is no record of a prediction with this prediction_id, or this request_id and index.",
    "405": "The path does not answer this method.",
    "413": "The body is too long, or the film has too many pixels.",
    "415": "Unsupported image format.",
    "422": "The image cannot be judged: too small, too long, several frames, unsupported DICOM.",
    "429": "Rate limit exceeded; see Retry-After.",
    "503": "Overloaded, no model loaded, or the records or the token issuer's keys are out of reach; see Retry-After.",
    "504": "Not finished in time.",
}
_OF_EVERY_CALL = ("401", "403", "429", "503")
_OF_FILMS = ("400", *_OF_EVERY_CALL, "413", "415", "422", "504")
_OF_REPORTS = ("400", *_OF_EVERY_CALL, "404", "413", "504")

# Descriptions in place of BentoML's.
_PROBES = {
    "/livez": "Whether the process answers.",
    "/healthz": "The same as /livez.",
    "/readyz": "Whether films can be judged and recorded; tries both.",
    "/metrics": "Prometheus metrics.",
}

_SECURITY_SCHEMES = {
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
_SECURED: list[dict[str, list[str]]] = [{"api_key": []}, {"bearer": []}]


def openapi_document(service: Any) -> dict[str, Any]:
    """BentoML's document of its `service`, with raw bodies, query parameters, problems and the other routes added."""
    document: dict[str, Any] = service.openapi_spec.asdict()
    forms: dict[str, type[RequestForm]] = {api.route: api.input_spec for api in service.apis.values()}
    # Pydantic's schemas are those of JSON Schema 2020-12, as OpenAPI 3.1 takes them.
    document["openapi"] = "3.1.0"
    document["info"] |= {"title": "Chest X-ray classification", "description": service.inner.__doc__, "version": __version__}
    document["info"].pop("contact", None)
    # Schemas of BentoML's error bodies, which ProblemMiddleware replaces, and of its task API, which is not used.
    schemas = document["components"]["schemas"]
    for name in ("InvalidArgument", "NotFound", "InternalServerError", "TaskStatusResponse"):
        schemas.pop(name, None)
    schemas["ProblemFacts"] = ProblemFacts.model_json_schema()
    for path, description in _PROBES.items():
        document["paths"][path]["get"]["description"] = description
    # Of a union BentoML describes the first type only, here a site profile without the null.
    site = ModelFacts.model_json_schema(ref_template=_REFERENCE)["properties"]["site"]
    for path, form in forms.items():
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]
        body["required"] = True
        for media in body["content"].values():
            media.pop("encoding", None)
            media["schema"]["properties"] = {
                name: _as_openapi(schema) for name, schema in media["schema"]["properties"].items()
            }
        if form.takes_raw_body:
            body["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        operation["parameters"] = [_query_parameter(name, OPTIONS[name]) for name in form.options]
        operation["responses"] = {"200": operation["responses"][200]} | _problems(_OF_FILMS)
        operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["site"] = site
        operation["security"] = _SECURED
    for path in ("/predict", "/predict/explain"):
        document["paths"][path]["post"]["responses"]["200"]["headers"] = {
            PREDICTION_ID_HEADER: {"description": "The prediction_id.", "schema": {"type": "string"}}
        }
    explained = document["paths"]["/predict/explain"]["post"]["responses"]["200"]["content"]
    explained["image/png"] = {"schema": {"type": "string", "format": "binary", "description": "The overlay."}}
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    audit_query = _without_definitions(AuditQuery)["properties"]
    document["paths"] |= {
        "/health": {"get": _operation("Status, model version and site profile; if unavailable, why.", ("503",))},
        "/model/info": {
            "get": _operation("Metadata of the model being served, and of its site profile.", _OF_EVERY_CALL, secured=True)
        },
        "/model/reload": {
            "post": _operation("Load the model that is chosen now, without dropping a request.", _OF_EVERY_CALL, secured=True)
        },
        "/feedback": {"post": _report(FeedbackBody)},
        "/incidents": {"post": _report(IncidentBody)},
        "/audit": {
            "get": _operation("The audit log, a page at a time.", ("400", *_OF_EVERY_CALL), secured=True)
            | {"parameters": [_query_parameter(*parameter) for parameter in audit_query.items()]}
        },
    }
    return document


def _as_openapi(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI describes a file as a binary string."""
    if schema.get("type") == "array":
        return schema | {"items": _as_openapi(schema["items"])}
    return schema | {"type": "string"} if schema.get("type") == "file" else schema


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out. Its null stands for that, and is no value to send."""
    described = {key: value for key, value in schema.items() if key != "description"}
    value = next((kind for kind in described.get("anyOf", ()) if kind.get("type") != "null"), described)
    return {"name": name, "in": "query", "required": False, "description": schema["description"], "schema": value}


def _problems(statuses: Sequence[str]) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM_SCHEMA}}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in statuses}


def _operation(description: str, statuses: Sequence[str], *, secured: bool = False, answered: str = "200") -> dict[str, Any]:
    success = {answered: {"description": "Answered.", "content": {"application/json": {"schema": {"type": "object"}}}}}
    operation = {"tags": ["Service APIs"], "description": description, "responses": success | _problems(statuses)}
    return operation | {"security": _SECURED} if secured else operation


def _report(model: type[BaseModel]) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _without_definitions(model)}}}
    return _operation(model.__doc__ or "", _OF_REPORTS, secured=True, answered="201") | {"requestBody": body}


def _without_definitions(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema without definitions: its only one, Finding, is among the document's components already."""
    schema = model.model_json_schema(ref_template=_REFERENCE)
    schema.pop("$defs", None)
    return schema
