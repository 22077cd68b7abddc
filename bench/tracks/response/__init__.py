"""Predict the response: the shift of a held-out condition."""
