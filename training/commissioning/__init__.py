"""Commissioning: tests a bundle on one site's own films, and fits what may be adjusted to them."""
