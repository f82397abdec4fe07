"""The report of a commissioning: metrics.json, report.md and report.html from the same values, and local pages with films."""
