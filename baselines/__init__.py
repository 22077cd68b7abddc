"""Baselines: one file each, the same interface as the models."""
