"""Request bodies: films with their options, and reports."""
