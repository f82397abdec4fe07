"""BentoML input specs of the prediction endpoints: pass the request on unread, and describe its body in OpenAPI."""

from typing import Any, ClassVar

import bentoml
from pydantic import PrivateAttr
from starlette.requests import Request

from service.http.body.options import OPTIONS
from service.http.body.upload import IMAGE_FIELD, IMAGES_FIELD, MAX_BATCH_FILMS

# BentoML's clients expect the type "file" in /schema.json. OpenAPI has no such type; openapi.py replaces it.
_FILM = {"type": "file", "format": "binary", "description": "JPEG, PNG, TIFF, BMP, WebP or DICOM; recognised by its content."}


class RequestForm(bentoml.IODescriptor):  # type: ignore[misc]
    """The request, its body not yet read. BentoML's own parsing has no size limit, and fetches URLs sent in place of files."""

    properties: ClassVar[dict[str, dict[str, Any]]] = {}  # fields of the multipart form
    # Names in OPTIONS that the endpoint takes, as form field or query parameter
    options: ClassVar[tuple[str, ...]] = ("operating_point",)
    takes_raw_body: ClassVar[bool] = True  # whether the whole body may be the film

    # BentoML passes the form as the only positional argument instead of its fields as keywords.
    __root_input__: ClassVar[bool] = True

    _request: Request = PrivateAttr()

    @property
    def request(self) -> Request:
        """The request, its body not yet read."""
        return self._request

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "RequestForm":
        """Called by BentoML for each request."""
        form = cls()
        form._request = request
        return form

    @classmethod
    def mime_type(cls) -> str:
        """Media type that OpenAPI names for the body."""
        return "multipart/form-data"

    @classmethod
    def model_json_schema(cls, *args: object, **kwargs: object) -> dict[str, Any]:
        """Schema of the multipart form."""
        options = {name: dict(OPTIONS[name]) for name in cls.options}
        required = list(cls.properties)
        return {"type": "object", "properties": dict(cls.properties) | options, "required": required, "title": cls.__name__}


class FilmForm(RequestForm):
    """One film to judge."""

    properties: ClassVar[dict[str, dict[str, Any]]] = {IMAGE_FIELD: _FILM}


class ExplainForm(FilmForm):
    """One film to judge and explain."""

    options: ClassVar[tuple[str, ...]] = ("operating_point", "target", "film")


class BatchForm(RequestForm):
    """Several films to judge."""

    properties: ClassVar[dict[str, dict[str, Any]]] = {
        IMAGES_FIELD: {"type": "array", "items": _FILM, "minItems": 1, "maxItems": MAX_BATCH_FILMS}
    }
    takes_raw_body: ClassVar[bool] = False
