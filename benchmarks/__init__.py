"""Speed and size of the service, as ratios within one run: `python -m benchmarks`."""
