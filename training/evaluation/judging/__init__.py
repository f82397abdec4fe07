"""Films -> probabilities of an exported bundle: films as they are, and films that were altered or attacked."""
