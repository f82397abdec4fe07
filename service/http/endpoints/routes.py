"""The routes beside the prediction API, as one application: health, model, metrics, OpenAPI, records and the page."""

import asyncio
import json
import os
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from service.errors import ServiceError
from service.film.errors import ChestXrayError, InputError
from service.http.endpoints.page import page_routes
from service.http.endpoints.records import records_routes
from service.http.problems import HEALTH_MEDIA_TYPE, problem_of
from service.http.running import running_service
from service.process.supervision import forget_dead_workers

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
            *page_routes(),
            *records_routes(),
            Route("/health", _health),
            Route("/metrics", _metrics),
            Route("/model/info", _model_info),
            Route("/model/reload", _model_reload, methods=["POST"]),
            Route("/docs", _docs),
            Route("/docs.json", _docs_json),
        ],
        exception_handlers={InputError: _problem, ServiceError: _problem},
    )


async def _health(request: Request) -> Response:
    body = running_service().health()
    healthy = body["status"] == "ok"
    return Response(
        json.dumps(body),
        status_code=200 if healthy else 503,
        media_type="application/json" if healthy else HEALTH_MEDIA_TYPE,
    )


async def _metrics(request: Request) -> Response:
    return Response(await asyncio.to_thread(_all_processes_metrics), media_type=CONTENT_TYPE_LATEST)


def _all_processes_metrics() -> bytes:
    # Set under `bentoml serve`; prometheus_client then keeps its values in files there, one for each process.
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    # Who cleans up temporary files may have taken it away: this process's own values are left.
    if folder is None or not Path(folder).is_dir():
        return generate_latest(REGISTRY)
    forget_dead_workers(folder)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def _model_info(request: Request) -> Response:
    # The training configuration may name folders of the machine that it ran on.
    return JSONResponse(running_service().manifest().model_dump(mode="json", exclude={"training_config"}))


async def _model_reload(request: Request) -> Response:
    return JSONResponse(await running_service().reload())


async def _docs(request: Request) -> Response:
    return HTMLResponse(_DOCS_PAGE)


async def _docs_json(request: Request) -> Response:
    return JSONResponse(running_service().openapi())


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, ChestXrayError):
        raise error
    return problem_of(error).response()
