"""Encoders that know nothing, or little: what an objective is read against."""
