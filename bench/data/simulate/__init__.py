"""Generators of screens whose truth is known."""
