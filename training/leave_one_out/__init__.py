"""How a recipe does in hospitals that it has never seen: one run without each source that holds two classes."""
