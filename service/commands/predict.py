"""`cxr predict`: judges single films in this process, without a server."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.shared import Bundle, OperatingPoint, SiteFolder

if TYPE_CHECKING:
    from service.model import Explanation, Model, Prediction


def predict(
    films: Annotated[list[Path], typer.Argument(metavar="FILM", help="JPEG, PNG, TIFF, BMP, WebP or DICOM.")],
    explain: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Draw which parts of one film speak for the finding (Grad-CAM)."),
    ] = None,
    bundle: Bundle = None,
    site: SiteFolder = None,
    operating_point: OperatingPoint = "balanced",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each film.")] = False,
) -> None:
    """Judge films and print finding, probabilities and reasons for review. For research use only.

    A film that cannot be judged is reported on stderr; the others are judged, and the exit status is 1.

    Example: cxr predict film.dcm --explain overlay.png
    """
    from service.commands.faults import describe_fault
    from service.film.errors import ChestXrayError
    from service.model import load_model
    from service.model.decision import find_operating_point
    from service.pipeline import silence_decoding_libraries

    if explain is not None and len(films) != 1:
        raise typer.BadParameter("one film can be explained at a time", param_hint="--explain")
    if explain is not None and explain.suffix.lower() != ".png":
        raise typer.BadParameter(f"{explain} must end in .png", param_hint="--explain")
    silence_decoding_libraries()
    model = load_model(bundle, site)
    find_operating_point(model.manifest, operating_point)
    judged = 0
    for film in films:
        try:
            explanation = None
            if explain is None:
                prediction = model.predict(film, operating_point)
            else:
                prediction, explanation = model.explain(film, operating_point=operating_point)
                explain.write_bytes(explanation.overlay_png)
        except (ChestXrayError, OSError) as fault:
            print(_refusal(film, describe_fault(fault)[0]), file=sys.stderr)
            continue
        judged += 1
        print(_json(film, prediction, explanation) if as_json else _text(film, prediction, explanation))
    if judged and not as_json:
        print(_footer(model, operating_point))
    if judged < len(films):
        raise typer.Exit(1)


def _refusal(film: Path, reason: str) -> str:
    if film.is_dir():
        return f"{film} is a folder; `cxr score {film} --out predictions.csv` judges every film in it."
    return reason if reason.startswith(f"{film}: ") else f"{film}: {reason}"


def _json(film: Path, prediction: "Prediction", explanation: "Explanation | None") -> str:
    members = {"film": str(film), "model_version": prediction.model_version, **prediction.members()}
    if explanation is not None:
        grid = explanation.grid.tolist()
        members["explanation"] = {"target": explanation.target, "grid": grid, "zones": explanation.zones}
    return json.dumps(members)


def _text(film: Path, prediction: "Prediction", explanation: "Explanation | None") -> str:
    lines = [
        f"{film}: {prediction.finding}, confidence {prediction.confidence:.3f}",
        f"  probabilities   {', '.join(f'{finding} {value:.3f}' for finding, value in prediction.probabilities.items())}",
        f"  prediction set  {', '.join(prediction.prediction_set) or 'empty'}",
        f"  review          {', '.join(prediction.review_reasons) or 'not required'}",
    ]
    if explanation is not None:
        strongest = max(explanation.zones, key=explanation.zones.__getitem__)
        zone = f"{strongest.replace('_', ' ')} zone ({explanation.zones[strongest]:.0%})"
        lines.append(f"  explanation     strongest for {explanation.target} in the patient's {zone}")
    return "\n".join(lines)


def _footer(model: "Model", operating_point: str) -> str:
    manifest = model.manifest
    rule = f"operating point {operating_point}, prediction sets of {manifest.conformal.coverage:.0%} coverage"
    lines = [f"{manifest.name} {manifest.version}, {rule}. For research use only; not a medical device."]
    if model.profile is None:
        return "\n".join([*lines, "Not commissioned for the site of these films."])
    profile = model.profile.manifest
    lines.append(f"Commissioned for {profile.name}, profile {profile.version}.")
    if not profile.verified:
        lines.append("Nothing was verified: this site gave films without labels alone.")
    return "\n".join([*lines, *profile.warnings])
