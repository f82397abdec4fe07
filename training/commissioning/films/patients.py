"""Which films are of one patient, so that none of them judges what another one has fitted. Keeps no identity."""

import hashlib
import io
from collections.abc import Iterable

import pydicom

_KEYWORDS = ["PatientID", "IssuerOfPatientID"]


def patient_in_header(data: bytes) -> str | None:
    """A digest of the PatientID of a DICOM file (PS3.3 C.7.1.1) that the decoder has read; None without one.

    The digest is for comparison in memory: it can be undone by trying numbers, so it must not be written anywhere.
    """
    try:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        identity = [str(header.get(keyword) or "").strip(" \0") for keyword in _KEYWORDS]
    except Exception:  # whatever pydicom raises on damage beside the pixels
        return None
    return hashlib.sha256("\0".join(identity).encode()).hexdigest() if identity[0] else None


def numbered(patients: Iterable[str | None]) -> tuple[str, ...]:
    """The films' patients under names that say nothing: equal names for one patient, a name of its own for an unknown one."""
    names: dict[str, str] = {}
    return tuple(
        names.setdefault(patient if patient is not None else f"\0{index}", f"patient-{len(names) + 1}")
        for index, patient in enumerate(patients)
    )
