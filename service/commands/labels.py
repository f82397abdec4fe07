"""Confirmed labels for retraining, as CSV: `python -m service.commands.labels --out feedback.csv`.

One row for each film that somebody labelled, by its last label, be it of a feedback or of an incident; `corrected_from` is the
label that it had before, if that was another. The film itself is found in the hospital's archive by its SHA-256.
"""

import argparse
import csv
import json
import os
import sys
from pathlib import Path

from service.commands.faults import iso_moment, report_faults, whole_file
from service.model.findings import FINDINGS
from service.records.labels import confirmed_labels
from service.records.opening import build_records
from service.settings import read_settings


def main(argv: list[str]) -> int:
    """Exit status 1 if nothing was written."""
    arguments = _parse(argv)
    with report_faults() as outcome:
        records = build_records(read_settings(os.environ))
        records.open()
        count = 0
        with whole_file(arguments.out) as stream:
            writer = csv.writer(stream)
            writer.writerow(
                ["timestamp", "kind", "request_id", "film_index", "image_sha256", "label", "prediction", "confidence"]
                + [f"probability_{finding.lower()}" for finding in FINDINGS]
                + ["model_version", "prediction_id", "corrected_from"]
            )
            for row in confirmed_labels(records.database, arguments.since):
                probabilities = json.loads(row["probabilities"])
                writer.writerow(
                    [row["timestamp"], row["kind"], row["request_id"], row["film_index"], row["image_sha256"], row["label"]]
                    + [row["prediction"], row["confidence"]]
                    + [probabilities.get(finding) for finding in FINDINGS]
                    + [row["model_version"], row["prediction_id"], row["corrected_from"]]
                )
                count += 1
        records.close()
        print(f"{count} labels in {arguments.out}", file=sys.stderr)
        outcome.status = 0
    return outcome.status


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.commands.labels", description="Confirmed labels, for retraining.")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--since", type=iso_moment, help="films labelled at this moment or later; ISO 8601 with a time zone")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
