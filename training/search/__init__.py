"""Searches for better training settings: ablation and tuning."""
