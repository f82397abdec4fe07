"""The web page at / and its files under /ui/."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

UI_DIR = Path(__file__).resolve().parents[2] / "ui"


def page_routes() -> list[BaseRoute]:
    """Routes to mount at /."""
    return [Route("/", _index), Mount("/ui", StaticFiles(directory=UI_DIR, check_dir=False))]


async def _index(request: Request) -> Response:
    return FileResponse(UI_DIR / "index.html")
