"""DICOM files. `reader.open` has the signature that `service.film.formats` states for every format."""
