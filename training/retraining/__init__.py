"""The parts of training.retraining.retrain: triggers, new films, steps, decision and record."""
