"""Grafana dashboards as code: each module describes one, as values of `panels`."""
