"""Speed and size of the service, as ratios within one run: `python -m benchmarks`."""

from service.usage_data import switch_off

switch_off()
