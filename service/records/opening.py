"""Builds the record store from the settings, for the service and for commands."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import RecordsUnavailable
from service.records.store import RecordStore
from service.settings import Settings, read_settings

logger = logging.getLogger(__name__)


def build_records(settings: Settings) -> RecordStore:
    """The records that the settings name, not opened yet. Raises SettingsError."""
    secret = settings.audit_secret
    return RecordStore(
        settings.database_url,
        upgrade=settings.database_upgrade,
        secret=secret.get_secret_value().encode() if secret else None,
    )


@contextmanager
def configured_records() -> Iterator[RecordStore]:
    """The records that the environment's settings name, not opened yet; closed when the block ends. Raises SettingsError."""
    records = build_records(read_settings(os.environ))
    try:
        yield records
    finally:
        records.close()


def open_patiently(records: RecordStore) -> None:
    """Open the records; if the database cannot be reached, warn and go on: the service is not ready until it can be.

    Raises SettingsError.
    """
    try:
        records.open()
    except RecordsUnavailable as fault:
        logger.warning("%s", fault)
