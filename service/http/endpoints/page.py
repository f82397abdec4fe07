"""Pages: the web page at / with its files under /ui/, and the API's documentation at /docs and /docs.json."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

UI_DIR = Path(__file__).resolve().parents[2] / "ui"

# BentoML's page without its tracking script. BentoML serves the files of Swagger UI.
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


def page_routes(openapi: Callable[[], dict[str, Any]]) -> list[BaseRoute]:
    """Routes to mount at /. openapi: returns the OpenAPI document."""
    return [
        Route("/", _index),
        Mount("/ui", StaticFiles(directory=UI_DIR, check_dir=False)),
        Route("/docs", _docs),
        Route("/docs.json", partial(_docs_json, openapi)),
    ]


async def _index(request: Request) -> Response:
    return FileResponse(UI_DIR / "index.html")


async def _docs(request: Request) -> Response:
    return HTMLResponse(_DOCS_PAGE)


async def _docs_json(openapi: Callable[[], dict[str, Any]], request: Request) -> Response:
    return JSONResponse(openapi())
