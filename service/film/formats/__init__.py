"""One module a file format: bytes -> film."""
