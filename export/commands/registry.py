"""`cxr registry`: releases of the model, and which of them the service loads."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from export.registry import Registry
    from service.model.bundle import ModelBundle
    from service.model.releases import LogEntry

registry = typer.Typer(help="List releases of the model, and choose which one the service loads.", no_args_is_help=True)

Note = Annotated[str | None, typer.Option(help="A sentence for the log.")]
NoRegister = Annotated[bool, typer.Option("--no-register", help="Leave BentoML's model store as it is.")]


@registry.callback()
def _folder(
    context: typer.Context,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the releases. Default: the project's models/.")
    ] = None,
) -> None:
    context.obj = models


@registry.command("list")
def show(context: typer.Context) -> None:
    """Show all releases: which one is chosen, and which one the service loads.

    Example: cxr registry list
    """
    from export.registry import headline

    opened = _open(context)
    row = "{:24}  {:22}  {:10}  {:>9}  {:>8}  {}".format
    releases = opened.rows()
    print(row("release", "architecture", "made", "macro AUC", "accuracy", "state"))
    for release in releases:
        cells = [""] * 4
        if manifest := release.manifest:
            metrics = (headline(manifest, name) for name in ("macro_auc", "accuracy"))
            cells = [manifest.architecture, manifest.created_at[:10], *metrics]
        print(row(release.name, *cells, ", ".join(release.state)).rstrip())
    chosen = next((release.name for release in releases if "chosen" in release.state), None)
    loaded = next((release.name for release in releases if "loaded" in release.state), None)
    print(f"\n{_explain(chosen, loaded)}")


def _explain(chosen: str | None, loaded: str | None) -> str:
    if setting := os.environ.get("CXR_BUNDLE"):
        return f"CXR_BUNDLE is set here, to {setting}: a service with that setting loads that bundle, whatever is chosen here."
    if loaded is None:
        return "The service can load none of these, and refuses all films."
    if chosen is None:
        return f"The service loads {loaded}: none is chosen, and this is the newest that passes its checks."
    if chosen != loaded:
        return f"The service loads {loaded}, because {chosen} cannot be loaded."
    return f"The service loads {loaded}."


@registry.command()
def log(context: typer.Context) -> None:
    """Show the log of decisions, the latest first.

    Example: cxr registry log
    """
    for entry in _open(context).log():
        print(f"{entry.at}  {entry.event} {entry.release} (before: {entry.before})")
        if entry.note:
            print(f"    {entry.note}")


@registry.command()
def add(
    context: typer.Context, bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.")]
) -> None:
    """Copy a bundle into the releases, once it has given its golden outputs on this machine.

    Example: cxr registry add runs/new/chest-xray-1.2.0
    """
    folder, is_new = _open(context).add(bundle)
    print(f"Added: {folder}." if is_new else f"{folder} is there already.")


@registry.command()
def promote(
    context: typer.Context,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="For example 1.1.1, or the folder's name.")],
    note: Note = None,
) -> None:
    """Choose a release, once it has given its golden outputs on this machine.

    Example: cxr registry promote 1.1.1 --note "Fewer false alarms at night."
    """
    _tell(_open(context).promote(version, note))


@registry.command()
def rollback(context: typer.Context, note: Note = None) -> None:
    """Choose the release that was chosen before.

    Example: cxr registry rollback --note "More misses since Monday."
    """
    opened = _open(context)
    had_chosen = opened.has_chosen()
    _tell(opened.rollback(note))
    if not had_chosen:
        print("None was chosen before: the service loaded the newest.")


@registry.command("note")
def write_note(context: typer.Context, note: Annotated[str, typer.Argument(metavar="NOTE", help="A sentence.")]) -> None:
    """Write a note into the log, for example why nothing changes.

    Example: cxr registry note "1.2.0 was no better on our films."
    """
    _open(context).note(note)
    print("Noted.")


@registry.command()
def attach(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle, for example models/chest-xray-1.1.1.")
    ],
    metrics: Annotated[Path, typer.Option(metavar="FILE", help="metrics.json that `cxr evaluate` wrote.")],
    card: Annotated[Path, typer.Option(metavar="FILE", help="MODEL_CARD.md that `cxr evaluate` wrote.")],
    no_register: NoRegister = False,
) -> None:
    """Put an evaluation on the test split into its bundle: metrics and model card.

    Example: cxr registry attach models/chest-xray-1.1.1 --metrics reports/metrics.json --card reports/MODEL_CARD.md
    """
    from export.attach import attach as attach_files

    attached = attach_files(bundle, metrics, card)
    print(f"{attached.path}: metrics and model card attached{_register(attached, no_register, replace=True)}")


@registry.command()
def reissue(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle, for example models/chest-xray-1.1.1.")
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data folder that it was trained on.")],
    version: Annotated[str, typer.Option(help="The bundle's version with a higher last number, for example 1.1.2.")],
    no_register: NoRegister = False,
) -> None:
    """Release a model again with a new drift reference: same graph, same answers.

    Example: cxr registry reissue models/chest-xray-1.1.1 --data data/cxr --version 1.1.2
    """
    from export.reissue import reissue as reissue_bundle

    new = reissue_bundle(bundle, data, version)
    print(f"{new.path}: the model of {bundle.name} with a new drift reference{_register(new, no_register, replace=False)}")


def _register(bundle: "ModelBundle", no_register: bool, replace: bool) -> str:
    from export.bundle import register

    return "" if no_register else f", registered as {register(bundle, replace=replace)}"


def _open(context: typer.Context) -> "Registry":
    from export.registry import Registry
    from service.model.releases import MODELS_DIR

    return Registry(context.obj or MODELS_DIR)


def _tell(entry: "LogEntry") -> None:
    print(f"{entry.event.capitalize()}: {entry.release}. The service loads it on POST /model/reload, or at its next start.")
