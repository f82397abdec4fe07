"""DICOM files; `reader.open` has the shape of the other formats."""
