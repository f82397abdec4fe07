"""Builds the record store from the settings."""

import logging

from service.errors import RecordsUnavailable
from service.records.store import RecordStore
from service.settings import Settings

logger = logging.getLogger(__name__)


def build_records(settings: Settings) -> RecordStore:
    """The records that the settings name, not opened yet. Raises SettingsError."""
    secret = settings.audit_secret
    return RecordStore(
        settings.database_url,
        upgrade=settings.database_upgrade,
        secret=secret.get_secret_value().encode() if secret else None,
    )


def open_patiently(records: RecordStore) -> None:
    """Open the records; if the database cannot be reached, warn and go on: the service is not ready until it can be.

    Raises SettingsError.
    """
    try:
        records.open()
    except RecordsUnavailable as fault:
        logger.warning("%s", fault)
