"""The records that the settings name: what the service and its command lines have in common."""

import logging

from service.errors import RecordsUnavailable
from service.records.store import RecordStore
from service.settings import Settings

logger = logging.getLogger(__name__)


def build_records(settings: Settings) -> RecordStore:
    """Not opened yet. Raises SettingsError."""
    secret = settings.audit_secret
    return RecordStore(
        settings.database_url,
        upgrade=settings.database_upgrade,
        secret=secret.get_secret_value().encode() if secret else None,
    )


def open_patiently(records: RecordStore) -> None:
    """Open them; a database that is away is no reason not to start: until it comes, the service is not ready.

    Raises SettingsError.
    """
    try:
        records.open()
    except RecordsUnavailable as fault:
        logger.warning("%s", fault)
