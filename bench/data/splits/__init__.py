"""Splits: who is train, val and test, and which controls are whose."""
