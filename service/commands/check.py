"""`cxr check`: what a start of the service needs, looked at before anything listens."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.shared import configured_records

if TYPE_CHECKING:
    from service.records.database import Database
    from service.settings import Settings


def check(at_start: Annotated[bool, typer.Option("--at-start", hidden=True)] = False) -> None:
    """Check settings, model bundle with its golden inputs, database and access control; changes nothing.

    Prints what was found, and on stderr what keeps the service from being ready. Exit status 1 if it could not start.

    Example: cxr check
    """
    # At a start, the tables are upgraded, and golden inputs are left to the worker, which replays them anyway.
    from service.access.policy import AccessPolicy
    from service.errors import RecordsUnavailable
    from service.records.database import TablesOutdated
    from service.settings import PREFIX, read_settings

    settings = read_settings(os.environ)
    given = sorted(name.upper() for name in settings.model_fields_set)
    print(f"settings: {', '.join(PREFIX + name for name in given) or 'none given, so all have their defaults'}")
    print(f"bundle: {_found_bundle(settings, with_golden_inputs=not at_start)}")
    with configured_records() as records:
        print(f"database: {records.database.name}")
        has_tables = True
        try:
            records.database.open(upgrade=at_start and settings.database_upgrade)
        except TablesOutdated:
            if not settings.database_upgrade:
                raise
            records.database.require_writable_folder()
            has_tables = False
            print("The next start creates or upgrades its tables.")
        except RecordsUnavailable as away:
            # The driver's own message, if there is one: SQLAlchemy's is longer.
            reason = str(getattr(away.__cause__, "orig", None) or away).partition("\n")[0]
            print(f"The database cannot be reached, and until then the service is not ready: {reason}", file=sys.stderr)
        AccessPolicy(settings, records.database)
        print(f"access: {_access(settings, records.database if has_tables else None)}")


def _found_bundle(settings: "Settings", *, with_golden_inputs: bool) -> str:
    """The bundle that the service will load. Raises BundleNotFound if there is no candidate at all.

    With one that is there and damaged the service starts, and /health says why it is not ready.
    """
    from service.model.bundle import ModelBundle
    from service.model.errors import BundleNotFound
    from service.model.predictor import load_predictor
    from service.model.releases import candidates, first_trusted

    def load(path: Path) -> ModelBundle:
        bundle = ModelBundle.open(path)
        if with_golden_inputs:
            load_predictor(bundle)
        return bundle

    found, faults = first_trusted(candidates(settings.bundle), load)
    if found is not None:
        for fault in faults:
            print(f"{fault} An older bundle serves instead.", file=sys.stderr)
        checked = "its files are whole" + (" and its golden inputs give the recorded outputs" if with_golden_inputs else "")
        return f"{found.path}, {found.manifest.name} {found.manifest.version}; {checked}"
    if all(isinstance(fault, BundleNotFound) for fault in faults):
        raise faults[0]
    print(f"{faults[0]} No model is served.", file=sys.stderr)
    return "none that can be trusted"


def _access(settings: "Settings", database: "Database | None") -> str:
    """database: None if it has no tables of this release yet."""
    ways = []
    if settings.accepts_keys:
        ways.append(_keys(database) if database else "API keys")
    if settings.accepts_tokens:
        ways.append(f"bearer tokens of {settings.token_issuer}")
    return " and ".join(ways) or "open to everybody who reaches the address"


def _keys(database: "Database") -> str:
    from service.access.keys import KeyStore
    from service.errors import RecordsUnavailable
    from service.records.values import utc_text

    now = utc_text(datetime.now(UTC))
    try:
        keys = [key for key in KeyStore(database).every() if not key.revoked_at and (key.expires_at or now) >= now]
    except RecordsUnavailable:
        return "API keys"
    return f"{len(keys)} API key{'s' * (len(keys) != 1)}" + ("" if keys else " (create one: `cxr keys create --help`)")
