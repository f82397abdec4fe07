"""`cxr export`: turn a checkpoint into a bundle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.model.bundle import ModelBundle


def export(
    checkpoint: Annotated[Path, typer.Option(help="best_model.pt of a run.")],
    data: Annotated[Path, typer.Option(help="Data folder that it was trained on.")],
    version: Annotated[str, typer.Option(help="Semantic version of the bundle, for example 1.0.0.")],
    out: Annotated[Path, typer.Option(help="Folder for bundles.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Name of the model.")] = "chest-xray",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the bundle and store entry of this version.")] = False,
    no_register: Annotated[bool, typer.Option("--no-register", help="Do not copy it into BentoML's model store.")] = False,
) -> None:
    """Turn a checkpoint into a bundle: convert, calibrate, compare with PyTorch, and hash.

    Example: cxr export --checkpoint runs/lite0/best_model.pt --data DATA --version 0.1.0
    """
    from export.export import export_bundle

    bundle = export_bundle(checkpoint, data, version=version, out=out, name=name, replace=replace, store=not no_register)
    print(summary(bundle, registered=not no_register))


def summary(bundle: "ModelBundle", registered: bool) -> str:
    """Fitted values, gaps between PyTorch and ONNX Runtime, and the next command."""
    from export.calibration import found_no_minimum
    from export.card import TB_SCREENING
    from service.model.findings import Finding
    from service.model.manifest import PARITY_NAME

    manifest = bundle.manifest
    parity = json.loads(bundle.file(PARITY_NAME).read_text("utf-8"))
    gaps = {name: max(of_films["max_gap"], parity["random"][name]["max_gap"]) for name, of_films in parity["real"].items()}
    at_bound = " (at the bound of its range: calibrate on more films)" if found_no_minimum(manifest.temperature) else ""
    quantiles = ", ".join(f"{finding} {quantile:.4f}" for finding, quantile in manifest.conformal.quantiles.items())
    lines = [
        "",
        f"{manifest.name} {manifest.version} ({manifest.architecture}): {bundle.path}",
        f"  temperature         {manifest.temperature:.4f}{at_bound}",
        f"  tuberculosis from   {manifest.operating_points[TB_SCREENING].thresholds[Finding.TUBERCULOSIS]:.4f} (screening)",
        f"  conformal quantiles {quantiles} ({manifest.conformal.coverage:.0%} coverage)",
        f"  review below        {manifest.review.low_confidence_below:.4f}",
    ]
    if manifest.outliers is not None:
        share = manifest.outliers.flagged_share
        lines.append(f"  outlier above       {manifest.outliers.threshold:.4f} (flags {share:.1%} of the validation films)")
    return "\n".join(
        [
            *lines,
            "  largest gaps        " + ", ".join(f"{name} {gap:.1e}" for name, gap in gaps.items()),
            f"  BentoML store       {f'{manifest.name}:{manifest.version}' if registered else 'not registered'}",
            f"Next: cxr evaluate {bundle.path} --data DATA --split test",
        ]
    )
