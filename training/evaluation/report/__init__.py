"""Writes the results of an evaluation: report, plots, metrics, predictions, model card."""
