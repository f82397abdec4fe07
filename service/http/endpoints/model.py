"""/health, /model/info and /model/reload."""

import asyncio
import json
from dataclasses import asdict
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.http.context import ServiceContext
from service.http.problems import HEALTH_MEDIA_TYPE

# Members of the site profile in /model/info. Its thresholds and other decision rules are among the manifest's members, which
# show them as they are applied.
_OF_PROFILE = {"name", "version", "created_at", "films", "verified", "warnings", "figures"}


def model_routes(context: ServiceContext) -> list[Route]:
    """Routes to mount at /."""
    return [
        Route("/health", partial(_health, context)),
        Route("/model/info", partial(_info, context)),
        Route("/model/reload", partial(_reload, context), methods=["POST"]),
    ]


async def _health(context: ServiceContext, request: Request) -> Response:
    body = context.host.health()
    is_healthy = body["status"] == "ok"
    return Response(
        json.dumps(body),
        status_code=200 if is_healthy else 503,
        media_type="application/json" if is_healthy else HEALTH_MEDIA_TYPE,
    )


async def _info(context: ServiceContext, request: Request) -> Response:
    model = context.host.pipeline.model
    # The training configuration may name folders of the machine that trained the model.
    info = model.manifest.model_dump(mode="json", exclude={"training_config"})
    return JSONResponse(info | {"site": model.profile and model.profile.manifest.model_dump(mode="json", include=_OF_PROFILE)})


async def _reload(context: ServiceContext, request: Request) -> Response:
    await asyncio.to_thread(context.records.check)  # a reload that cannot be put on record must not happen
    return JSONResponse(asdict(await asyncio.to_thread(context.host.reload)))
