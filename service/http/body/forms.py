"""What the endpoints read, as BentoML input specs: they hand the request on unread, and describe it in OpenAPI."""

from typing import Any, ClassVar

import bentoml
from pydantic import PrivateAttr
from starlette.requests import Request

from service.http.body.options import OPTIONS
from service.http.body.upload import IMAGE_FIELD, IMAGES_FIELD, MAX_BATCH_FILMS

# BentoML's own clients read the type "file" from /schema.json; OpenAPI has none, and openapi.py writes its own there.
_FILM = {"type": "file", "format": "binary", "description": "JPEG, PNG, TIFF, BMP, WebP or DICOM; told by its bytes."}


class RequestForm(bentoml.IODescriptor):  # type: ignore[misc]
    """The request itself, its body not yet read: BentoML's own parsing knows no limit and fetches URLs sent in place of files.

    properties: the fields of the multipart form. options: which of OPTIONS it takes, as field or as query parameter.
    """

    properties: ClassVar[dict[str, dict[str, Any]]] = {}
    options: ClassVar[tuple[str, ...]] = ("operating_point",)
    takes_raw_body: ClassVar[bool] = True

    # BentoML passes the form as the one positional argument instead of spreading its fields.
    __root_input__: ClassVar[bool] = True

    _request: Request = PrivateAttr()

    @property
    def request(self) -> Request:
        """The request, its body not yet read."""
        return self._request

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "RequestForm":
        """Called by BentoML with each request."""
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
