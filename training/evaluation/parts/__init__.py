"""The parts of an evaluation, one module each."""
