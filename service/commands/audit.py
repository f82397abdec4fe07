"""`cxr audit`: the audit log, in the database that CXR_DATABASE_URL names."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from service.commands.shared import Since, Until, configured_records
from service.records.values import AuditFilter, RetentionPolicy

audit = typer.Typer(help="Verify and export the audit log.", no_args_is_help=True)

_EMPTY_STATUS = 3


def _head(text: str) -> str:
    seq, _, row_hash = text.partition(":")
    if not seq.isdecimal() or len(row_hash) != 64:
        raise typer.BadParameter("not a row number, a colon and 64 hexadecimal digits")
    return text


@audit.command()
def verify(
    expect: Annotated[
        str | None,
        typer.Option(parser=_head, metavar="SEQ:HASH", help="A head noted earlier, which the log must still contain."),
    ] = None,
    anonymise_days: Annotated[
        int,
        typer.Option(metavar="N", help="Age in days from which rows may be anonymised, as for `cxr records expire`."),
    ] = RetentionPolicy.anonymise,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Accept a log without rows.")] = False,
) -> None:
    """Find rows that were changed, removed or moved.

    Exit status 1 if there are any, 3 if the log is empty.

    Example: cxr audit verify
    """
    from service.records.verification import verify_chain

    def show_progress(rows: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{rows} rows", end="", file=sys.stderr)

    with configured_records() as records:
        records.database.open(upgrade=False)
        with records.database.reading() as connection:
            found = verify_chain(connection, records.secret, datetime.now(UTC), anonymise_days, expect, show_progress)
    if found.fault is not None:
        print(f"The audit log is broken: {found.fault}. The {found.rows} rows before that hold.", file=sys.stderr)
        raise typer.Exit(1)
    if found.rows == 0 and not allow_empty:
        deleted = f": all of its {found.last_seq} rows have expired" if found.last_seq else ""
        print(
            f"The audit log in {records.database.name} is empty{deleted}. Is it the right database? A file copied with cp "
            "while the service runs lacks the rows of its -wal file; copy it with `cxr records backup`. "
            "If there should be no rows: --allow-empty.",
            file=sys.stderr,
        )
        raise typer.Exit(_EMPTY_STATUS)
    print(f"The audit log holds: {found.rows} rows, {found.first_seq} to {found.last_seq}. Head {found.head}")


@audit.command()
def export(
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write.")],
    since: Since = None,
    until: Until = None,
) -> None:
    """Write the log as CSV.

    Example: cxr audit export --out audit.csv
    """
    from service.records.csv_files import write_audit

    with configured_records() as records:
        records.database.open(upgrade=False)
        count = write_audit(records, out, AuditFilter(since=since, until=until))
    print(f"{count} rows in {out}", file=sys.stderr)
