"""The serving process on its machine: usable CPUs, checks before listening, supervisor and worker."""
