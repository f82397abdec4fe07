"""The `cxr` command, and its sub-commands that need the service alone."""
