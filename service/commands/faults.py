"""What a command says when it fails: one line on stderr and an exit status."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import typer

from service.film.errors import ChestXrayError


def describe_fault(fault: Exception) -> tuple[str, int]:
    """The line and the exit status of an expected fault: 2 for wrong usage, else 1. Raises any other exception again."""
    match fault:
        case typer.TyperException():
            context = getattr(fault, "ctx", None)
            hint = f" `{context.command_path} --help` shows what it takes." if context else ""
            message = fault.format_message()
            return message + ("" if message.endswith((".", "?")) else ".") + hint, getattr(fault, "exit_code", 1)
        case ChestXrayError():
            return str(fault), 1
        case OSError():
            return f"{fault.filename}: {fault.strerror}." if fault.filename else str(fault), 1
        case ModuleNotFoundError():
            return (
                f"The Python package {fault.name} is missing here. Commands that train, export, evaluate or measure run in the "
                "environment .venv, which `make .venv/.installed` creates.",
                1,
            )
    raise fault


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
