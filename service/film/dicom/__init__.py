"""DICOM files. `reader.open` takes and returns what `open` of each module in `formats` does."""
