"""The numbers of commissioning: heads, thresholds, nested cross-validation, figures, and what is written. Arrays in."""
