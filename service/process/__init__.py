"""The serving process and its machine: CPUs, listening address, supervision."""
