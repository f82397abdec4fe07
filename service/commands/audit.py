"""The audit log at the command line: `python -m service.commands.audit verify | export | backup | upgrade`."""

import argparse
import csv
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from service.commands.faults import iso_moment, report_faults, whole_file
from service.records.backup import back_up
from service.records.opening import build_records
from service.records.retention import RetentionPolicy
from service.records.store import RecordStore
from service.records.values import AuditFilter, AuditRow
from service.records.verification import verify_chain
from service.settings import read_settings

_ROWS_AT_ONCE = 1000

# Of `verify`: 1 is a broken chain, and argparse ends with 2.
_EMPTY = 3


def main(argv: list[str]) -> int:
    """Exit status 1 if the chain is broken, or if nothing could be done; 3 if the log to verify is empty."""
    arguments = _parse(argv)
    with report_faults() as outcome:
        records = build_records(read_settings(os.environ))
        outcome.status = arguments.command(records, arguments)
        records.close()
    return outcome.status


def _verify(records: RecordStore, arguments: argparse.Namespace) -> int:
    def progress(rows: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{rows} rows", end="", file=sys.stderr)

    records.database.open(upgrade=False)
    with records.database.reading() as connection:
        found = verify_chain(
            connection, records.secret, datetime.now(UTC), arguments.anonymise_days, arguments.expect, progress
        )
    if found.fault is not None:
        print(f"The audit log is broken: {found.fault}. The {found.rows} rows before that hold.", file=sys.stderr)
        return 1
    if found.rows == 0 and not arguments.allow_empty:
        deleted = f": its {found.last_seq} rows were deleted with their age" if found.last_seq else ""
        print(
            f"The audit log in {records.database.name} is empty{deleted}. Is it the right database? A file copied with cp "
            "beside a running service lacks the rows of its -wal file; copy it with `python -m service.commands.audit backup`. "
            "If there should be no rows: --allow-empty.",
            file=sys.stderr,
        )
        return _EMPTY
    print(f"The audit log holds: {found.rows} rows, {found.first_seq} to {found.last_seq}. Head {found.head}")
    return 0


def _export(records: RecordStore, arguments: argparse.Namespace) -> int:
    records.database.open(upgrade=False)
    wanted = AuditFilter(since=arguments.since, until=arguments.until)
    after: int | None = 0
    count = 0
    with whole_file(arguments.out) as stream:
        writer = csv.writer(stream)
        names = list(AuditRow.__dataclass_fields__)
        writer.writerow(names)
        while after is not None:
            page = records.audit_page(wanted, after, _ROWS_AT_ONCE)
            writer.writerows([getattr(row, name) for name in names] for row in page.rows)
            after, count = page.next_after_seq, count + len(page.rows)
    print(f"{count} rows in {arguments.out}", file=sys.stderr)
    return 0


def _backup(records: RecordStore, arguments: argparse.Namespace) -> int:
    # Not opened: tables of an earlier release are backed up as they are, before they are brought up to date.
    back_up(records.database, arguments.out)
    print(f"The records of {records.database.name} are in {arguments.out}.", file=sys.stderr)
    return 0


def _upgrade(records: RecordStore, arguments: argparse.Namespace) -> int:
    records.database.open(upgrade=True)
    print(f"The tables of {records.database.name} are up to date.", file=sys.stderr)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.commands.audit", description="The audit log in CXR_DATABASE_URL.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="find changed, missing or moved rows; exit status 1 if there are any")
    verify.add_argument(
        "--expect", metavar="SEQ:HASH", type=_head, help="a head noted earlier, which the log must still contain"
    )
    verify.add_argument(
        "--anonymise-days",
        type=int,
        default=RetentionPolicy.anonymise,
        help="age before which no row may be anonymised (default %(default)s), as given to service.commands.expire",
    )
    verify.add_argument("--allow-empty", action="store_true", help="a log without rows is no fault; else exit status 3")
    verify.set_defaults(command=_verify)
    export = commands.add_parser("export", help="write the log as CSV")
    export.add_argument("--out", type=Path, required=True)
    export.add_argument("--since", type=iso_moment, help="ISO 8601 with a time zone")
    export.add_argument("--until", type=iso_moment)
    export.set_defaults(command=_export)
    backup = commands.add_parser("backup", help="copy a SQLite database into one file, beside a running service")
    backup.add_argument("--out", type=Path, required=True, help="new file")
    backup.set_defaults(command=_backup)
    upgrade = commands.add_parser("upgrade", help="bring the tables up to date, before new servers start")
    upgrade.set_defaults(command=_upgrade)
    return parser.parse_args(argv)


def _head(text: str) -> str:
    seq, _, found = text.partition(":")
    if not seq.isdecimal() or len(found) != 64:
        raise argparse.ArgumentTypeError("not a row number, a colon and 64 hexadecimal digits")
    return text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
