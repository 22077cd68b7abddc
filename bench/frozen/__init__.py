"""The frozen-encoder protocol: what an encoder's embedding of held-out cells says about perturbation and batch.

Numpy and scipy only: an encoder enters as a callable, which :mod:`bench.frozen.encoder` alone makes of a model.
Source: ``models.md`` B.3, and B.2 for the guards.
"""
