"""The formats that Pillow decodes, one module or folder each, with one shape: `open(data, limits) -> OpenedFile`."""
