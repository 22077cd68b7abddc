"""The frozen-encoder protocol: how well perturbation and batch are recognised from embeddings of held-out cells.

No torch: an encoder enters as a callable, which :mod:`bench.runner.encoder` alone makes of a model.
Source: this benchmark, after the shape of the published CellJEPA audit.
"""
