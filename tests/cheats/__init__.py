"""Answers that must not pay, and what runs them."""
