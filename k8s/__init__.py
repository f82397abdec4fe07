"""Manifests, monitoring and their checks."""
