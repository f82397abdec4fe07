"""Retraining: triggers, new films, the challenger, the verdict and the decision."""
