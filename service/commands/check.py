"""`cxr check`: checks what the service needs to start, before anything listens."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.shared import configured_records

if TYPE_CHECKING:
    from service.model.bundle import ModelBundle
    from service.model.site_profile import SiteProfile
    from service.records.database import Database
    from service.settings import Settings


def check(at_start: Annotated[bool, typer.Option("--at-start", hidden=True)] = False) -> None:
    """Check settings, model bundle and site profile with their golden inputs, database and access control; changes nothing.

    Prints what was found, and on stderr what keeps the service from being ready. Exit status 1 if it could not start.

    Example: cxr check
    """
    # --at-start, which `bentoml serve` uses, upgrades the tables, and leaves the bundle's golden inputs to the worker.
    from service.access.policy import AccessPolicy
    from service.errors import RecordsUnavailable
    from service.records.database import TablesOutdated
    from service.settings import PREFIX, read_settings

    settings = read_settings(os.environ)
    given = sorted(name.upper() for name in settings.model_fields_set)
    print(f"settings: {', '.join(PREFIX + name for name in given) or 'none given, so all have their defaults'}")
    _check_bundle(settings, with_golden_inputs=not at_start)
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
            # The driver's own message, if there is one, is shorter than SQLAlchemy's.
            reason = str(getattr(away.__cause__, "orig", None) or away).partition("\n")[0]
            print(f"The database cannot be reached, and until then the service is not ready: {reason}", file=sys.stderr)
        AccessPolicy(settings, records.database)
        print(f"access: {_access(settings, records.database if has_tables else None)}")


def _check_bundle(settings: "Settings", *, with_golden_inputs: bool) -> None:
    """Print which bundle and site profile the service will load, and what is wrong with the candidates before them.

    Raises BundleNotFound if there is no candidate at all, and ProfileError if the site profile cannot be applied to the bundle.
    Damaged bundles are only printed: the service starts without a model, and /health says why it is not ready.
    """
    from service.model.errors import BundleNotFound
    from service.model.predictor import load_predictor
    from service.model.releases import candidates, first_trusted

    def load(bundle: "ModelBundle", profile: "SiteProfile | None") -> "tuple[ModelBundle, SiteProfile | None]":
        if with_golden_inputs or profile is not None:  # a profile whose golden outputs differ must end the start
            load_predictor(bundle, profile=profile)
        return bundle, profile

    found, faults = first_trusted(candidates(settings.bundle, settings.site), load)
    if found is not None:
        bundle, profile = found
        for fault in faults:
            print(f"{fault} An older bundle serves instead.", file=sys.stderr)
        replayed = with_golden_inputs or profile is not None
        checked = "its files are whole" + (" and its golden inputs give the recorded outputs" if replayed else "")
        print(f"bundle: {bundle.path}, {bundle.manifest.name} {bundle.manifest.version}; {checked}")
        if profile is not None:
            print(f"site: {profile.path}, {profile.site.name} {profile.site.version}; {checked}")
    elif all(isinstance(fault, BundleNotFound) for fault in faults):
        raise faults[0]
    else:
        print(f"{faults[0]} No model is served.", file=sys.stderr)
        print("bundle: none that can be trusted")


def _access(settings: "Settings", database: "Database | None") -> str:
    """Who may call. database: None if it lacks the tables of this release."""
    ways = []
    if settings.accepts_keys:
        ways.append(_keys(database) if database else "API keys")
    if settings.accepts_tokens:
        ways.append(f"bearer tokens of {settings.token_issuer}")
    return " and ".join(ways) or "open to everybody who reaches the address"


def _keys(database: "Database") -> str:
    from service.access.keys import KeyStore
    from service.errors import RecordsUnavailable

    try:
        active = sum(key.is_active() for key in KeyStore(database).every())
    except RecordsUnavailable:
        return "API keys"
    return f"{active} API key{'s' * (active != 1)}" + ("" if active else " (create one: `cxr keys create --help`)")
