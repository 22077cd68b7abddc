"""Morphological profiles: wells of plates, their features or embeddings, and what was done to each."""
