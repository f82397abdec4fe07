"""Films -> probabilities of an exported bundle."""
