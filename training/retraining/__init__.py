"""Retraining: triggers, new films, challenger, verdict and decision."""
