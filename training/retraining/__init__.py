"""The parts of training.retrain: triggers, new films, steps, decision and record."""
