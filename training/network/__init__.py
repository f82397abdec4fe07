"""The classifier and where its weights come from."""
