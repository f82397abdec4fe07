"""Checks what a start needs, before anything listens. Exit status 1 and one line on a fault."""

import os
import sys
from datetime import UTC, datetime

from service.access.policy import AccessPolicy
from service.commands.faults import report_faults
from service.errors import RecordsUnavailable
from service.model.bundle import ModelBundle
from service.model.errors import BundleError, BundleNotFound
from service.model.releases import candidates
from service.records.database import Database
from service.records.opening import build_records
from service.records.values import utc_text
from service.settings import PREFIX, Settings, read_settings


def main() -> int:
    """Read the settings, look for the bundle, open the records, build the access policy; nothing is kept.

    Prints what was found, and on stderr what does not hinder a start but keeps the service from being ready.
    """
    with report_faults() as outcome:
        settings = read_settings(os.environ)
        given = sorted(name.upper() for name in settings.model_fields_set)
        print(f"settings: {', '.join(PREFIX + name for name in given) or 'none given, all as by default'}")
        print(f"bundle: {_found_bundle(settings)}")
        records = build_records(settings)
        print(f"database: {records.database.name}")
        try:
            records.open()
        except RecordsUnavailable as away:
            # Of the driver, if it was the driver: SQLAlchemy adds its own words.
            reason = str(getattr(away.__cause__, "orig", None) or away).partition("\n")[0]
            print(f"The database cannot be reached, and until then the service is not ready: {reason}", file=sys.stderr)
        AccessPolicy.from_settings(settings, records.database)
        print(f"access: {_access(settings, records.database)}")
        records.close()
        outcome.status = 0
    return outcome.status


def _found_bundle(settings: Settings) -> str:
    """The one that will serve. Raises BundleNotFound if none of the candidates is there.

    With one that is there and damaged the service starts, and /health says why it is not ready.
    """
    faults: list[BundleError] = []
    for path in candidates(settings.bundle):
        try:
            manifest = ModelBundle.open(path).manifest
        except BundleError as untrusted:
            faults.append(untrusted)
        else:
            for fault in faults:
                print(f"{fault} An older bundle serves instead.", file=sys.stderr)
            return f"{path}, {manifest.name} {manifest.version}"
    if all(isinstance(fault, BundleNotFound) for fault in faults):
        raise faults[0]
    print(f"{faults[0]} No model is served.", file=sys.stderr)
    return "none that can be trusted"


def _access(settings: Settings, database: Database) -> str:
    ways = []
    if settings.accepts_keys:
        ways.append(_keys(database))
    if settings.accepts_tokens:
        ways.append(f"bearer tokens of {settings.token_issuer}")
    return " and ".join(ways) or "open to everybody who reaches the address"


def _keys(database: Database) -> str:
    from service.access.keys import KeyStore

    now = utc_text(datetime.now(UTC))
    try:
        keys = [key for key in KeyStore(database).every() if not key.revoked_at and (key.expires_at or now) >= now]
    except RecordsUnavailable:
        return "API keys"
    return f"{len(keys)} API keys" + ("" if keys else " (make one: `cxr keys create --help`)")


if __name__ == "__main__":
    sys.exit(main())
