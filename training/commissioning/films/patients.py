"""Which films are of one patient, so that no model is judged on a patient that it was fitted to. Keeps no identity."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pydicom

# (TABLE or HEADER, the patient's ID there). The two may name one patient differently.
Identity = tuple[str, str]

TABLE, HEADER = "table", "header"

_KEYWORDS = ["PatientID", "IssuerOfPatientID"]

# From so many patients of the table on, an ID that all their headers have stands for nobody. Fewer may be one patient whom the
# table names by visit: taking them as one costs little, and taking one as several lets a patient judge what it has fitted.
_NOBODY = 6


def patient_in_header(data: bytes) -> str | None:
    """A digest of PatientID and issuer (PS3.3 C.7.1.1) of a DICOM file that the decoder has read; None without PatientID.

    For comparison in memory alone: trying all numbers reveals the ID, so the digest must not be written anywhere.
    """
    try:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        identity = [str(header.get(keyword) or "").strip(" \0") for keyword in _KEYWORDS]
    except Exception:  # whatever pydicom raises on damage beside the pixels
        return None
    return hashlib.sha256("\0".join(identity).encode()).hexdigest() if identity[0] else None


def merged(films: Sequence[frozenset[Identity]]) -> tuple[frozenset[Identity], ...]:
    """All identities of each film's patient. Films are of one patient if they share an identity, directly or through others.

    An ID in the headers of many patients of the table, such as ANON, stands for nobody.
    """
    of_table: dict[Identity, set[Identity]] = defaultdict(set)
    for identities in films:
        for header in (each for each in identities if each[0] == HEADER):
            of_table[header] |= {each for each in identities if each[0] == TABLE}
    nobody = {header for header, patients in of_table.items() if len(patients) >= _NOBODY}
    patients: dict[Identity, frozenset[Identity]] = {}
    films = [identities - nobody for identities in films]
    for identities in films:
        patient = identities.union(*(patients.get(identity, ()) for identity in identities))
        patients |= dict.fromkeys(patient, patient)
    return tuple(next((patients[identity] for identity in identities), identities) for identities in films)


def numbered(patients: Iterable[frozenset[Identity]]) -> tuple[str, ...]:
    """A neutral name for each film's patient, the same for all films of one; a film of an unknown patient has its own.

    patients: as `merged` gives them; empty if unknown.
    """
    names: dict[frozenset[Identity] | int, str] = {}
    return tuple(names.setdefault(patient or index, f"patient-{len(names) + 1}") for index, patient in enumerate(patients))
