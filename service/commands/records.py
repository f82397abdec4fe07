"""`cxr records`: the database that CXR_DATABASE_URL names, with predictions, audit log, feedback, incidents and API keys."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.shared import Since, configured_records
from service.records.values import RetentionPolicy

records = typer.Typer(help="Back up, upgrade, expire and export the service's database.", no_args_is_help=True)


def _days(what: str) -> Any:
    return typer.Option(min=1, max=36_500, metavar="N", help=f"Age in days at which {what}.")


@records.command()
def backup(out: Annotated[Path, typer.Option(metavar="FILE", help="New file.")]) -> None:
    """Copy a SQLite database into one file, while the service runs.

    Example: cxr records backup --out backup.db
    """
    from service.records.backup import back_up

    with configured_records() as store:
        # Not opened: tables of an earlier release are backed up as they are, before they are upgraded.
        back_up(store.database, out)
    print(f"The records of {store.database.name} are in {out}.", file=sys.stderr)


@records.command()
def upgrade() -> None:
    """Create or upgrade the tables, before new servers start.

    Example: cxr records upgrade
    """
    with configured_records() as store:
        store.database.open(upgrade=True)
    print(f"The tables of {store.database.name} are up to date.", file=sys.stderr)


@records.command()
def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted or anonymised.")] = False,
    predictions_days: Annotated[int, _days("predictions are deleted")] = RetentionPolicy.predictions,
    anonymise_days: Annotated[int, _days("audit rows and reports lose their personal fields")] = RetentionPolicy.anonymise,
    audit_days: Annotated[int, _days("audit rows are deleted")] = RetentionPolicy.audit,
) -> None:
    """Delete and anonymise what has reached its age; run it every night.

    Exit status 1 if it could not be finished: run it again.

    Example: cxr records expire --dry-run
    """
    from service.records.retention import apply_retention

    policy = RetentionPolicy(predictions_days, anonymise_days, audit_days)
    with configured_records() as store:
        store.database.require_file()
        store.open()
        forgotten = apply_retention(store.database, policy, datetime.now(UTC), dry_run)
    counts = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in vars(forgotten).items())
    print(f"{'Would forget' if dry_run else 'Forgotten'}: {counts}")


@records.command()
def labels(out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write.")], since: Since = None) -> None:
    """Write the last confirmed label of each film as CSV, for retraining.

    `corrected_from` is the label that it replaced, if another. The SHA-256 finds the film in the hospital's archive.

    Example: cxr records labels --out labels.csv
    """
    from service.records.csv_files import write_labels

    with configured_records() as store:
        store.database.require_file()
        store.open()
        count = write_labels(store.database, out, since)
    print(f"{count} labels in {out}", file=sys.stderr)
