"""Kinds of question: a folder each, with its truth, metrics, floor, ceiling and columns."""
