"""Request bodies -> films, options and reports."""
