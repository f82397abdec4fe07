"""The GET routes beside the prediction API: health, model information, and the OpenAPI page."""

import json
from typing import Any, Protocol

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from service.contract.errors import ServiceError
from service.contract.manifest import ModelManifest
from service.http.problems import HEALTH_MEDIA_TYPE, problem_of


class ServedModel(Protocol):
    """What the routes ask the running service."""

    def manifest(self) -> ModelManifest:
        """Manifest of the model being served. Raises ModelUnavailable."""

    def health(self) -> dict[str, Any]:
        """Body of /health; its `status` is "ok" or "unavailable"."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""


# BentoML's page without its tracking script: the swagger files are those that BentoML serves.
_DOCS_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="UTF-8">
  <title>Chest X-ray classification: API</title>
  <link rel="stylesheet" href="./static_content/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="./static_content/swagger-ui-bundle.js"></script>
  <script src="./static_content/swagger-ui-standalone-preset.js"></script>
  <script src="./static_content/swagger-initializer.js"></script>
</body>
</html>
"""


def build_routes() -> Starlette:
    """The application to mount at /."""
    return Starlette(
        routes=[
            Route("/", _index),
            Route("/health", _health),
            Route("/model/info", _model_info),
            Route("/docs", _docs),
            Route("/docs.json", _docs_json),
        ]
    )


async def _index(request: Request) -> Response:
    return RedirectResponse("./docs")


async def _health(request: Request) -> Response:
    body = _service().health()
    healthy = body["status"] == "ok"
    return Response(
        json.dumps(body),
        status_code=200 if healthy else 503,
        media_type="application/json" if healthy else HEALTH_MEDIA_TYPE,
    )


async def _model_info(request: Request) -> Response:
    try:
        manifest = _service().manifest()
    except ServiceError as error:
        return problem_of(error).response()
    # The training configuration may name folders of the machine that it ran on.
    return JSONResponse(manifest.model_dump(mode="json", exclude={"training_config"}))


async def _docs(request: Request) -> Response:
    return HTMLResponse(_DOCS_PAGE)


async def _docs_json(request: Request) -> Response:
    return JSONResponse(_service().openapi())


def _service() -> ServedModel:
    service: ServedModel = bentoml.get_current_service()
    return service
