"""/docs and /docs.json: the OpenAPI document, and Swagger UI for it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

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


def documentation_routes(openapi: Callable[[], dict[str, Any]]) -> list[Route]:
    """Routes to mount at /. openapi: returns the OpenAPI document."""
    return [Route("/docs", _page), Route("/docs.json", partial(_document, openapi))]


async def _page(request: Request) -> Response:
    return HTMLResponse(_DOCS_PAGE)


async def _document(openapi: Callable[[], dict[str, Any]], request: Request) -> Response:
    return JSONResponse(openapi())
