"""The parts of the running service that endpoints and middleware share."""

from typing import TYPE_CHECKING

from service.access.policy import AccessPolicy
from service.hosting import ModelHost
from service.http.capacity import Capacity
from service.settings import Settings

if TYPE_CHECKING:  # SQLAlchemy, which BentoML's supervisor need not load
    from service.records.store import RecordStore


class ServiceContext:
    """Endpoints and middleware are built with it when BentoML imports service.app, which its supervisor does as well.

    The parts exist only once the worker has built `ChestXray`, which sets them.
    """

    settings: Settings  # what the operator configured
    records: "RecordStore"  # predictions and audit log
    access: AccessPolicy  # who may call
    host: ModelHost  # holds the model being served
    capacity: Capacity  # threads, queue and memory
