"""JPEG files, and the JPEG data inside TIFF and DICOM files."""
