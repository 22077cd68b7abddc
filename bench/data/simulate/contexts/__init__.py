"""Screens in many contexts, whose responses depend on the state of the cells."""
