"""The findings, and their order in every probability vector of the project."""

from enum import StrEnum


class Finding(StrEnum):
    """What a film shows. The value is the folder name, the name in JSON and the label for people."""

    NORMAL = "Normal"
    PNEUMONIA = "Pneumonia"
    TUBERCULOSIS = "Tuberculosis"


FINDINGS: tuple[Finding, ...] = (Finding.NORMAL, Finding.PNEUMONIA, Finding.TUBERCULOSIS)
DISEASES: tuple[Finding, ...] = (Finding.PNEUMONIA, Finding.TUBERCULOSIS)
