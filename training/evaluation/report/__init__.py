"""The written results of an evaluation."""
