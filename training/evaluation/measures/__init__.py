"""Arrays -> numbers: metrics, their bootstrap intervals, and the probes and measures of single parts."""
