"""Searches over training settings: ablation and tuning."""
