"""`cxr registry`: releases of the model, site profiles, and which of them the service loads."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from export.registry import Registry
    from service.model.bundle import ModelBundle
    from service.model.releases import LogEntry

registry = typer.Typer(
    help="List releases of the model and site profiles, and choose which of them the service loads.", no_args_is_help=True
)

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
    """Show all releases and site profiles: what is chosen, and what the service loads.

    Example: cxr registry list
    """
    from export.commands.registry_list import print_list

    print_list(_open(context))


@registry.command()
def log(context: typer.Context) -> None:
    """Show the log of decisions, the latest first.

    Example: cxr registry log
    """
    from service.model.releases import Served

    for entry in _open(context).log():
        now, before = Served(entry.release, entry.site), Served(entry.before, entry.site_before)
        print(f"{entry.at}  {entry.event} {now} (before: {before})")
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
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]", help="For example 2.1.0, or the folder's name; or a site profile, sites/st-mary-1."
        ),
    ] = None,
    site: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="Site profile to serve it with, for example st-mary-1.")
    ] = None,
    without_profile: Annotated[
        bool, typer.Option("--without-profile", help="Serve the release alone, though a site profile is served now.")
    ] = False,
    note: Note = None,
) -> None:
    """Choose a release or a site profile, once it has given its golden outputs on this machine.

    A profile is served with the release that it belongs to. A release takes over from a commissioned one with a profile of the
    same site, or not at all.

    Example: cxr registry promote 2.1.0 --note "Fewer false alarms at night."
    """
    from service.model.releases import profile_name

    opened = _open(context)
    name, profile = (text and _name(opened.models, text) for text in (site if version is None else version, site))
    if name is None:
        raise typer.BadParameter("Give a VERSION or a profile; `cxr registry list` shows both.")
    if profile_name(name):
        if profile not in {None, name}:
            raise typer.BadParameter(f"{version} and --site {site} are two profiles; give one.")
        profile = name
    if profile is not None and without_profile:
        raise typer.BadParameter(f"--without-profile contradicts the profile {profile}.")
    _tell(opened.promote(name, note, profile=profile, without_profile=without_profile))


@registry.command()
def rollback(context: typer.Context, note: Note = None) -> None:
    """Choose what was chosen before: the release, with the site profile that it had.

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
        Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle, for example models/chest-xray-2.1.0.")
    ],
    metrics: Annotated[Path, typer.Option(metavar="FILE", help="metrics.json that `cxr evaluate` wrote.")],
    card: Annotated[Path, typer.Option(metavar="FILE", help="MODEL_CARD.md that `cxr evaluate` wrote.")],
    no_register: NoRegister = False,
) -> None:
    """Put an evaluation on the test split into its bundle: metrics and model card.

    Example: cxr registry attach models/chest-xray-2.1.0 --metrics reports/metrics.json --card reports/MODEL_CARD.md
    """
    from export.attach import attach as attach_files

    attached = attach_files(bundle, metrics, card)
    print(f"{attached.path}: metrics and model card attached{_register(attached, no_register, replace=True)}")


@registry.command()
def reissue(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle, for example models/chest-xray-2.1.0.")
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data folder that it was trained on.")],
    version: Annotated[str, typer.Option(help="A version above the bundle's, for example 2.1.1.")],
    no_register: NoRegister = False,
) -> None:
    """Release a model again with a new drift reference and review threshold: same graph, same probabilities.

    Example: cxr registry reissue models/chest-xray-2.1.0 --data data/cxr --version 2.1.1
    """
    from export.reissue import reissue as reissue_bundle

    new = reissue_bundle(bundle, data, version)
    registered = _register(new, no_register, replace=False)
    print(
        f"{new.path}: the model of {bundle.name} with a new drift reference and review threshold{registered}; evaluate it: "
        f"cxr evaluate {new.path} --data {data}"
    )


def _name(models: Path, text: str) -> str:
    """The name of a release or a profile; a path must lead to its folder here. Raises typer.BadParameter."""
    from service.model.releases import profile_name, sites_dir

    path = Path(text)
    if path.parent == Path():
        return path.name
    folder = sites_dir(models) if profile_name(path.name) else models
    # From another folder, sites/st-mary-1 is taken as it lies in the repository.
    is_as_in_repository = str(path.parent) in {"sites", "models"} and not path.exists()
    if is_as_in_repository or path.resolve() == (folder / path.name).resolve():
        return path.name
    remedy = "`cxr registry add` it" if folder == models else "copy it into sites/"
    raise typer.BadParameter(f"{text} is not the folder {folder / path.name}, which would be chosen; {remedy} first.")


def _register(bundle: "ModelBundle", no_register: bool, replace: bool) -> str:
    from export.bundle import register

    return "" if no_register else f", registered as {register(bundle, replace=replace)}"


def _open(context: typer.Context) -> "Registry":
    from export.registry import Registry
    from service.model.releases import MODELS_DIR

    return Registry(context.obj or MODELS_DIR, os.environ.get("CXR_SITE"))


def _tell(entry: "LogEntry") -> None:
    from service.model.releases import Served

    now = Served(entry.release, entry.site)
    print(f"{entry.event.capitalize()}: {now}. The service loads it on POST /model/reload, or at its next start.")
    for name in ("CXR_BUNDLE", "CXR_SITE"):
        if setting := os.environ.get(name):
            print(f"{name} is set here, to {setting}, and counts before this choice: change it as well.")
