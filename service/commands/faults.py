"""What a command says when it fails: one line on stderr and an exit status."""

import typer
from pydantic import ValidationError

from service.film.errors import ChestXrayError
from service.validation_messages import wanted


def describe_fault(fault: Exception) -> tuple[str, int]:
    """The line and the exit status of an expected fault: 2 for wrong usage, else 1. Raises any other exception again."""
    match fault:
        case typer.TyperException():
            context = getattr(fault, "ctx", None)
            hint = f" `{context.command_path} --help` shows what it takes." if context else ""
            if isinstance(fault.__cause__, ValidationError):
                fault.message = wanted(fault.__cause__.errors()[0])
            message = " ".join(fault.format_message().split())
            if not message:  # a group without a sub-command, whose help Typer has printed
                return "", 2
            return message + ("" if message.endswith((".", "?")) else ".") + hint, getattr(fault, "exit_code", 1)
        case ChestXrayError():
            return str(fault), 1
        case OSError():
            return f"{fault.filename}: {fault.strerror}." if fault.filename else str(fault), 1
        case ModuleNotFoundError() if fault.name and "." not in fault.name:  # a missing submodule (a.b) would be a bug
            return (
                f"The Python package {fault.name} is missing here. Commands that train, export, evaluate or measure run in the "
                "environment .venv, which `make .venv/.installed` creates.",
                1,
            )
    raise fault
