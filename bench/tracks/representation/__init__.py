"""The frozen-encoder protocol: what an encoder's embedding of held-out cells says about perturbation and batch.

Numpy and scipy only: an encoder enters as a callable, which :mod:`bench.runner.encoder` alone makes of a model.
Source: this benchmark, after the shape of the published CellJEPA audit.
"""
