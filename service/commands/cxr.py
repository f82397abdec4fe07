"""The `cxr` command: every command of the project, in the order in which people need it."""

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from service import __version__
from service.commands.faults import describe_fault

# Panel of `cxr --help` -> command -> the module that defines it, as a function or a `typer.Typer` of the command's name.
# Loaded by name: serving must not import training, and the serving image holds the package `service` only.
PANELS: dict[str, dict[str, str]] = {
    "Judge films": {
        "serve": "service.commands.serve",
        "predict": "service.commands.predict",
        "score": "service.commands.score",
    },
    "Bring the model to a site": {
        "commission": "training.commands.commission",
        "registry": "export.commands.registry",
        "check": "service.commands.check",
        "keys": "service.commands.keys",
    },
    "Run the service": {
        "monitor": "k8s.monitoring.command",
        "audit": "service.commands.audit",
        "records": "service.commands.records",
        "dashboards": "k8s.monitoring.command",
    },
    "Train a model": {
        "explore": "training.commands.explore",
        "validate": "training.commands.validate",
        "train": "training.commands.train",
        "average": "training.commands.average",
        "tune": "training.commands.tune",
        "ablate": "training.commands.ablate",
        "lungs": "training.commands.lungs",
    },
    "Release a model": {
        "export": "export.commands.export",
        "evaluate": "training.commands.evaluate",
        "retrain": "training.commands.retrain",
    },
    "Measure": {
        "bench": "benchmarks.command",
    },
}


class _InOrder(TyperGroup):
    """Lists commands in the order of PANELS; Typer would list groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for commands in PANELS.values() for name in commands if name in self.commands]


def build_app() -> typer.Typer:
    """The commands whose packages are here. Loads no library for training, inference or HTTP: commands do that when run."""
    app = typer.Typer(
        name="cxr",
        cls=_InOrder,
        help="Chest X-ray classifier: Normal, Pneumonia, Tuberculosis. For research use only.",
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_start)
    for panel, commands in PANELS.items():
        for name, module_name in commands.items():
            try:
                command = getattr(importlib.import_module(module_name), name.replace("-", "_"))
            except ModuleNotFoundError as missing:
                if missing.name == module_name.partition(".")[0]:
                    continue
                raise
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name, rich_help_panel=panel)
            else:
                app.command(name, rich_help_panel=panel)(command)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. argv: without the program's name; None for that of this process.

    Returns the exit status: 0, 1 after a fault, 2 for wrong usage, 130 if interrupted, or that of a `typer.Exit`.
    """
    logger = logging.getLogger("service")
    level_before = logger.level
    logger.setLevel(logging.ERROR)  # faults are printed, so warnings would repeat them
    try:
        status: Any = build_app()(args=None if argv is None else list(argv), prog_name="cxr", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as fault:
        line, status = describe_fault(fault)
        if line:
            print(line, file=sys.stderr)
    finally:
        logger.setLevel(level_before)
    return status if isinstance(status, int) else 0


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"cxr {__version__}")
        raise typer.Exit


def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Makes the app a group of commands even if it has only one."""


if __name__ == "__main__":
    raise SystemExit(main())
