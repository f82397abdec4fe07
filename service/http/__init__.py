"""The wire: request bodies in, JSON answers and problems out. Knows no model."""
