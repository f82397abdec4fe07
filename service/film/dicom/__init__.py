"""DICOM -> film."""
