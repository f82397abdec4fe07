"""Decoding in processes of its own: what takes long can be ended, and what crashes takes nothing with it."""
