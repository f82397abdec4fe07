"""The service's database: predictions, audit log, feedback, incidents and hashes of API keys. Never an image."""
