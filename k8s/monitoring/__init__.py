"""Rules, dashboards, and a Prometheus beside a local service."""
