"""The `cxr` commands for training, evaluation and exploration."""
