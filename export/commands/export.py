"""`cxr export`: turn a checkpoint into a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.model.bundle import ModelBundle


def export(
    checkpoint: Annotated[Path, typer.Option(metavar="FILE", help="best_model.pt of a run.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data folder that it was trained on.")],
    version: Annotated[str, typer.Option(help="Semantic version of the bundle, for example 1.0.0.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for bundles.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Name of the model.")] = "chest-xray",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite this version, also in BentoML's model store.")] = False,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="Do not copy the bundle into BentoML's model store.")
    ] = False,
) -> None:
    """Turn a checkpoint into a bundle: convert, calibrate, compare with PyTorch, and hash.

    Example: cxr export --checkpoint runs/lite0/best_model.pt --data data/cxr --version 0.1.0
    """
    from export.export import export_bundle

    bundle = export_bundle(checkpoint, data, version=version, out=out, name=name, replace=replace, store=not no_register)
    print(summary(bundle, registered=not no_register))


def summary(bundle: "ModelBundle", registered: bool) -> str:
    """The calibration as in the model card, and the next command."""
    from export.card import CALIBRATION_HEADING
    from service.model.manifest import MODEL_CARD_NAME

    manifest = bundle.manifest
    card = bundle.file(MODEL_CARD_NAME).read_text("utf-8")
    store = f"copied as {manifest.name}:{manifest.version}" if registered else "not changed"
    return (
        f"\n{manifest.name} {manifest.version} ({manifest.architecture}): {bundle.path}\n\n"
        f"Calibration{card.partition(CALIBRATION_HEADING)[2].partition('## ')[0]}"
        f"BentoML's model store: {store}\n"
        f"Next: cxr evaluate {bundle.path} --data DATA --split test"
    )
