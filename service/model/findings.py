"""The findings, their order and meaning. The order is that of every probability vector in the project."""

from enum import StrEnum


class Finding(StrEnum):
    """What a film shows. The value is the folder name, the JSON name and the label shown to people."""

    NORMAL = "Normal"
    PNEUMONIA = "Pneumonia"
    TUBERCULOSIS = "Tuberculosis"


FINDINGS: tuple[Finding, ...] = (Finding.NORMAL, Finding.PNEUMONIA, Finding.TUBERCULOSIS)
DISEASES: tuple[Finding, ...] = (Finding.PNEUMONIA, Finding.TUBERCULOSIS)
