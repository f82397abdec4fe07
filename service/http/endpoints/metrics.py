"""/metrics."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def metrics_routes() -> list[Route]:
    """Routes to mount at /."""
    return [Route("/metrics", _metrics)]


async def _metrics(request: Request) -> Response:
    return Response(await asyncio.to_thread(generate_latest), media_type=CONTENT_TYPE_LATEST)
