"""The frozen-encoder protocol: what an encoder's embedding of held-out cells says about perturbation and batch.

Numpy and scipy only; an encoder enters as a callable. Source: ``models.md`` B.3, and B.2 for the guards.
"""
