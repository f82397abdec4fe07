"""What the service keeps: predictions, the audit log, feedback, incidents and hashes of API keys. Never an image."""
