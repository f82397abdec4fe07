"""The columns of the table, and the row of each film."""

from collections.abc import Mapping
from hashlib import sha256

from service.film.errors import ChestXrayError, kebab_case
from service.model.findings import FINDINGS
from service.model.model import Prediction
from service.model.site_profile import Site

COLUMNS = (
    "path", "image_sha256", "format", "width_px", "height_px", "prediction", "confidence",
    *(f"probability_{finding.lower()}" for finding in FINDINGS),
    "operating_point", "prediction_set", "review_required", "review_reasons", "model_version", "site", "inference_time_ms",
    "error", "error_detail",
)  # fmt: skip

Row = Mapping[str, str]

# Spreadsheets read text that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def row_of(path: str, prediction: Prediction) -> Row:
    """Row of a film that was judged."""
    return {
        "path": _safe(path),
        "image_sha256": prediction.image_sha256,
        "format": prediction.format,
        "width_px": str(prediction.width_px),
        "height_px": str(prediction.height_px),
        "prediction": prediction.finding,
        "confidence": f"{prediction.confidence:.6f}",
        **{f"probability_{finding.lower()}": f"{value:.6f}" for finding, value in prediction.probabilities.items()},
        "operating_point": prediction.operating_point,
        "prediction_set": ";".join(prediction.prediction_set),
        "review_required": str(prediction.review_required).lower(),
        "review_reasons": ";".join(prediction.review_reasons),
        **model_columns(prediction.model_version, prediction.site),
        "inference_time_ms": f"{prediction.inference_time_ms:.2f}",
    }


def model_columns(version: str, site: Site | None) -> Row:
    """The columns that say what judged a film, or refused it. site: None without a profile."""
    return {"model_version": version, "site": "" if site is None else str(site)}


def refusal_row(path: str, data: bytes, error: ChestXrayError, model: Row) -> Row:
    """Row of a film that was refused. data: its bytes, empty if they could not be read. model: see `model_columns`."""
    return {
        "path": _safe(path),
        "image_sha256": sha256(data).hexdigest() if data else "",
        **model,
        "error": kebab_case(type(error).__name__),
        "error_detail": str(error),
    }


def _safe(path: str) -> str:
    """The same path, spelled so that no spreadsheet reads it as a formula."""
    return f"./{path}" if path.startswith(_FORMULA_STARTS) else path
