"""What answers a request: one module for each group of paths."""
