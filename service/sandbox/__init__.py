"""Decoding in child processes: a film that takes too long can be ended, and one that crashes its decoder does no harm."""
