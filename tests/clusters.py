"""Hand-made embeddings: one cluster per condition."""

import numpy as np


def clusters(n_conditions=12, cells=40, batches=4, width=16, separation=4.0, batch_effect=0.0, seed=0):
    """Unit embeddings around one centre per condition; returns z, condition, batch in random order."""
    rng = np.random.default_rng(seed)
    condition = np.repeat(np.arange(n_conditions), cells)
    batch = np.tile(np.arange(batches), -(-len(condition) // batches))[: len(condition)]
    centres, shifts = rng.normal(size=(n_conditions, width)), rng.normal(size=(batches, width))
    z = separation * centres[condition] + batch_effect * shifts[batch] + rng.normal(size=(len(condition), width))
    order = rng.permutation(len(condition))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return z[order], condition[order], batch[order]
