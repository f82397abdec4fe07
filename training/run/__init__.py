"""One training run: from configuration to checkpoint."""
