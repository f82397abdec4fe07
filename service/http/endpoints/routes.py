"""The routes that BentoML does not make, or makes otherwise, as one application."""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from service.errors import ServiceError
from service.film.errors import ChestXrayError, InputError
from service.http.context import ServiceContext
from service.http.endpoints.metrics import metrics_routes
from service.http.endpoints.model import model_routes
from service.http.endpoints.page import page_routes
from service.http.endpoints.records import records_routes
from service.http.problems import problem_of


def build_routes(context: ServiceContext, openapi: Callable[[], dict[str, Any]]) -> Starlette:
    """The application to mount at /. openapi: returns the OpenAPI document."""
    return Starlette(
        routes=[*page_routes(openapi), *records_routes(context), *model_routes(context), *metrics_routes()],
        exception_handlers={InputError: _problem, ServiceError: _problem},
    )


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, ChestXrayError):
        raise error
    return problem_of(error).response()
