"""/metrics, summed over the processes of one server."""

import asyncio
import os
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.process.supervision import forget_dead_workers


def metrics_routes() -> list[Route]:
    """Routes to mount at /."""
    return [Route("/metrics", _metrics)]


async def _metrics(request: Request) -> Response:
    return Response(await asyncio.to_thread(_all_processes_metrics), media_type=CONTENT_TYPE_LATEST)


def _all_processes_metrics() -> bytes:
    # Set under `bentoml serve`: prometheus_client then keeps the values of each process in a file of that folder.
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    # A cleaner of temporary files may have removed the folder; this process's own values remain.
    if folder is None or not Path(folder).is_dir():
        return generate_latest(REGISTRY)
    forget_dead_workers(folder)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
