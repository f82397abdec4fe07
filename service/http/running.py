"""What routes and middleware ask of the running service. They are built before it is, and so ask for it with each request."""

from typing import TYPE_CHECKING, Any, Protocol

import bentoml

from service.access.policy import AccessPolicy
from service.http.thread_pool import Place
from service.model.manifest import ModelManifest
from service.settings import Settings

if TYPE_CHECKING:
    from service.records.store import RecordStore


class RunningService(Protocol):
    """The service of this process."""

    settings: Settings
    records: "RecordStore"
    access: AccessPolicy

    def manifest(self) -> ModelManifest:
        """Manifest of the model being served. Raises ModelUnavailable."""

    def reserve_place(self) -> Place:
        """Room for a film that is on its way. Raises Overloaded."""

    def health(self) -> dict[str, Any]:
        """Body of /health; its `status` is "ok" or "unavailable"."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""

    async def reload(self) -> dict[str, Any]:
        """Body of /model/reload. Raises ServiceError."""


def running_service() -> RunningService:
    """The service of this process, once it is built."""
    service: RunningService = bentoml.get_current_service()
    return service
