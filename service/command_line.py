"""What the command lines of the service share: faults as one line, whole files, moments in time."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from service.contract.errors import ChestXrayError


@dataclass
class Outcome:
    """status: of the process; 1 until something succeeded."""

    status: int = 1


@contextmanager
def report_faults() -> Iterator[Outcome]:
    """Print an expected fault of the enclosed work to stderr; its outcome's status stays 1 then."""
    logging.getLogger("service").setLevel(logging.ERROR)  # the fault itself is printed, once
    outcome = Outcome()
    try:
        yield outcome
    except ChestXrayError as fault:
        outcome.status = 1
        print(fault, file=sys.stderr)
    except OSError as fault:
        outcome.status = 1
        print(f"{fault.filename}: {fault.strerror}." if fault.filename else fault, file=sys.stderr)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name when it is complete, and not at all otherwise."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("w", newline="", encoding="utf-8") as stream:
            yield stream
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def iso_moment(text: str) -> datetime:
    """An argparse type: ISO 8601 with a time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(f"{text!r} is not a moment such as 2026-11-23T08:00:00Z") from fault
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; add Z for UTC")
    return moment
