"""What a state of a cell does: formulas of the generator, without a random number."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from bench.core.typing import Floats
from bench.data.simulate.contexts.parameters import ContextParameters


def gates(p: ContextParameters, activities: Floats) -> Floats:
    """How far each program answers in cells of these activities ``[cells, modules]``: ``[cells, programs]``.

    Program k is open (1, else 0) where module k is active. In the nonlinear form only every third is; the second is
    open where module k or the next is active; the third is never closed but switches: it answers with 1 where both or
    neither of the two are active, and with -1 where one is. Neither module alone says anything about its sign.
    """
    active = expit(p.gate_slope * (activities - p.gate_threshold))
    if not p.nonlinear:
        return np.asarray(active)
    other = np.roll(active, -1, axis=1)
    kind = np.arange(active.shape[1]) % 3
    return np.select(
        [kind == 0, kind == 1],
        [active, active + other - active * other],
        default=1 - 2 * (active + other - 2 * active * other),
    )


def module_expression(p: ContextParameters, activities: Floats, loadings: Floats) -> Floats:
    """Log change of each gene by the modules ``[cells, genes]``; loadings ``[genes, modules]``."""
    level = p.module_level * np.tanh(activities / p.module_level) if p.nonlinear else activities
    return np.asarray(p.module_scale * level @ loadings.T)


def response(p: ContextParameters, driven: Floats, programs: Floats) -> Floats:
    """Log change of genes where programs are driven this much ``[cells, programs]``; programs ``[programs, genes]``."""
    change = driven @ programs
    return np.asarray(p.response_level * np.tanh(change / p.response_level) if p.nonlinear else change)
