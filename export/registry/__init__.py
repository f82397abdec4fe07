"""The registry: which release the service loads, and with which site profile."""

from export.registry.registry import Registry, headline

__all__ = ["Registry", "headline"]
