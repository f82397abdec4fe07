"""`cxr export` and `cxr registry`."""
