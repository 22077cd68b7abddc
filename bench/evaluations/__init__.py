"""Evaluations of a publication: its own forms beside corrected ones. Arrays and frames in, a table out."""
