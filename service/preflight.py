"""What a start needs, tried before anything listens: `python -m service.preflight`. Exit status 1 and one line on a fault."""

import os
import sys

from service.access.door import AccessPolicy
from service.command_line import report_faults
from service.records import build_records, open_patiently
from service.settings import read_settings


def main() -> int:
    """Read the settings, open the records, build the access policy; nothing is kept."""
    with report_faults() as outcome:
        settings = read_settings(os.environ)
        records = build_records(settings)
        open_patiently(records)
        AccessPolicy.from_settings(settings, records.database)
        records.close()
        outcome.status = 0
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
