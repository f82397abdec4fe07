"""Which DICOM objects are chest films, as far as their header says.

Sources: DICOM PS3.4 B.5 (storage SOP classes), PS3.3 C.8.1.1 (CR: body part and view), C.7.6.1.1.1 (patient orientation).
"""

from typing import Any

from pydicom import uid
from pydicom.dataset import Dataset

from service.contract.errors import UnsupportedDicom

# Projection radiographs as a display is to show them, and the copies that viewers make of such.
_FILMS = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    }
)

_CHEST = ("CHEST", "THORAX", "LUNG")
# Defined terms of ViewPosition that are no upright or supine frontal view: laterals, decubitus and obliques.
_OTHER_VIEWS = frozenset({"LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT", "OBLIQUE"})


def check_class(sop_class: str) -> None:
    """Raise UnsupportedDicom for the SOP class of an object that is no single film. Files without one are taken for films."""
    if not sop_class or sop_class in _FILMS:
        return
    if sop_class == uid.DigitalXRayImageStorageForProcessing:
        raise UnsupportedDicom("The DICOM image is for processing, not for display; send the one for presentation.")
    name = uid.UID(sop_class).name
    known = "an object of an unknown SOP class" if name == sop_class else name
    raise UnsupportedDicom(
        f"The DICOM file is {known[:80]}, no chest radiograph; send a Computed Radiography, Digital X-Ray or Secondary Capture "
        "image."
    )


def says_otherwise(dataset: Dataset) -> bool:
    """Whether the header names another part of the body, or another view, than a frontal chest film's.

    Such a film is judged and flagged, not refused: these fields are often filled in by habit.
    """
    part = str(dataset.get("BodyPartExamined") or "").upper()
    view = str(dataset.get("ViewPosition") or "").upper().strip()
    return (
        (part != "" and not any(name in part for name in _CHEST))
        or view in _OTHER_VIEWS
        or _rows_run_front_to_back(dataset.get("PatientOrientation"))
    )


def _rows_run_front_to_back(orientation: Any) -> bool:
    """In a frontal film they run from one side to the other; in a lateral one the first direction is anterior or posterior."""
    values = [str(value) for value in orientation] if orientation is not None and not isinstance(orientation, str) else []
    return len(values) == 2 and values[0][:1] in ("A", "P")
