"""Which DICOM objects are films, and which of their headers deny a frontal chest film.

Sources: DICOM PS3.4 B.5 (storage SOP classes), PS3.3 C.8.1.1 (CR: body part and view), C.8.11.5 (DX positioning).
"""

from pydicom import uid
from pydicom.dataset import Dataset

from service.film.dicom.orientation import ORIENTATION_KEYWORDS, is_out_of_plane, is_quadruped, is_turned_unknown_way
from service.film.dicom.terms import names_other_part, names_other_view
from service.film.dicom.values import coded_item, decoded_text, plain
from service.film.errors import UnsupportedDicom

# Projection radiographs for presentation, and the copies that viewers make of them.
_FILMS = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    }
)

OBJECT_KEYWORDS = ("BodyPartExamined", "ViewPosition", "PatientPosition", *ORIENTATION_KEYWORDS)
CODE_SEQUENCE_KEYWORDS = ("AnatomicRegionSequence", "ViewCodeSequence", "PatientOrientationCodeSequence")

# Lying on the side, head or feet first (PS3.3 C.7.3.1.1.2).
_DECUBITUS_POSITIONS = frozenset({"HFDR", "HFDL", "FFDR", "FFDL"})


def check_class(sop_class: str) -> None:
    """Raise UnsupportedDicom for the SOP class of an object that is no single film. A file without a class passes."""
    if not sop_class or sop_class in _FILMS:
        return
    if sop_class == uid.DigitalXRayImageStorageForProcessing:
        raise UnsupportedDicom("The DICOM image is for processing, not for display; send the one for presentation.")
    name = uid.UID(sop_class).name
    known = "one that the DICOM standard does not name" if name == sop_class else name
    raise UnsupportedDicom(
        f"The DICOM file's SOP class is {known[:80]}, which is not read; send a Computed Radiography, Digital X-Ray or "
        "Secondary Capture image."
    )


def denies_frontal_chest(dataset: Dataset) -> bool:
    """Whether the header names another part of the body, another view or an animal, or says that the film was turned but not
    how it lies now.

    Such a film is flagged, not refused: these fields are often filled in by habit.
    """
    return (
        names_other_part(decoded_text(dataset, "BodyPartExamined"))
        or any(names_other_view(decoded_text(dataset, keyword)) for keyword in ("BodyPartExamined", "ViewPosition"))
        or plain(decoded_text(dataset, "PatientPosition")) in _DECUBITUS_POSITIONS
        or _codes_deny_frontal_chest(dataset)
        or is_quadruped(dataset)
        or is_out_of_plane(dataset)
        or is_turned_unknown_way(dataset)
    )


def _codes_deny_frontal_chest(dataset: Dataset) -> bool:
    region, view, position = (coded_item(dataset, keyword) for keyword in CODE_SEQUENCE_KEYWORDS)
    modifier = position and coded_item(position, "PatientOrientationModifierCodeSequence")
    return (region is not None and names_other_part(*_meaning_and_code(region))) or any(
        item is not None and names_other_view(*_meaning_and_code(item)) for item in (view, position, modifier)
    )


def _meaning_and_code(item: Dataset) -> tuple[str, str]:
    return decoded_text(item, "CodeMeaning"), decoded_text(item, "CodeValue")
