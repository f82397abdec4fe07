"""Films -> probabilities of an exported bundle, for films as they are and for altered or attacked ones."""
