"""Films -> probabilities of an exported bundle: films as they are, films that were altered, and gradients through the graph."""
