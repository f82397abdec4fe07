"""Film: the bytes of one film file -> upright 8-bit grey pixels, for training, export and the service alike.

Public: `film.open_film`, `OpenedFilm`, `Radiograph` and `Orientation`; `limits.DecodeLimits`; `preprocessing.PreprocessSpec`,
`decode`, `to_model_input` and `resize_stretched`; `arrays`, the types of arrays; `file_format.sniff_format`; and `errors`, with
the root of all errors of this project. Imports nothing else of this project, and neither PyTorch, ONNX Runtime nor HTTP.
"""
