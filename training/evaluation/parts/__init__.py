"""The parts of an evaluation, one module or folder each."""
