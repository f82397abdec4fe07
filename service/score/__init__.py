"""Scoring of archives: every film below a folder, without a server."""
