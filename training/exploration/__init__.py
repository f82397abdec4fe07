"""Describes a data set by class and source before anything is trained on it (REPORT sections 2 and 3)."""
