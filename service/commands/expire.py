"""Forgetting at the command line, for a nightly job: `python -m service.commands.expire`."""

import argparse
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from service.commands.faults import report_faults
from service.records.opening import build_records
from service.records.retention import RetentionPolicy, apply_retention
from service.settings import read_settings


def main(argv: list[str]) -> int:
    """Exit status 1 if not everything could be forgotten; run it again then."""
    arguments = _parse(argv)
    policy = RetentionPolicy(arguments.predictions_days, arguments.anonymise_days, arguments.audit_days)
    with report_faults() as outcome:
        records = build_records(read_settings(os.environ))
        records.open()
        forgotten = apply_retention(records.database, policy, datetime.now(UTC), arguments.dry_run)
        records.close()
        counts = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in asdict(forgotten).items())
        print(f"{'Would forget' if arguments.dry_run else 'Forgotten'}: {counts}")
        outcome.status = 0
    return outcome.status


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.commands.expire", description="Forget what is old enough.")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be forgotten")
    for name, days, what in (
        ("predictions", RetentionPolicy.predictions, "predictions are deleted"),
        ("anonymise", RetentionPolicy.anonymise, "audit rows and reports lose their personal fields"),
        ("audit", RetentionPolicy.audit, "audit rows are deleted"),
    ):
        parser.add_argument(
            f"--{name}-days", type=_days, default=days, metavar="N", help=f"age at which {what} (default %(default)s)"
        )
    return parser.parse_args(argv)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 36_500:
        raise argparse.ArgumentTypeError("not a number of days from 1 to 36500")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
