"""What train cells say of any perturbation, a second time: directions and sizes that know no condition.

Of all train units, and of those with as many perturbed genes (of compounds: at the same dose and time) where ten are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from bench.audit.second.ranksum import z_scores
from bench.audit.second.scores import ranks
from bench.audit.second.truth import Cells, Truth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Train units of a stratum, at least; principal components; a share of the largest variance that is none.
LEAST, COMPONENTS, NOTHING = 10, 3, 1e-12
#: Directions whose reverse says as much.
UNSIGNED = ("pc1", "pc2", "pc3", "c_in", "control_sd")


@dataclass(frozen=True, eq=False)
class Told:
    """Directions and sizes for T test units.

    Attributes:
        bank: Every direction ``[K, G]``, 0 at genes that are not expressed, the largest value 1.
        rows: By name, which of them is a unit's ``[T]``.
        sizes: By name, norm of a unit's shift ``[T]``.
    """

    bank: Floats
    rows: dict[str, Rows]
    sizes: dict[str, Floats]


def told(m: Cells, truth: Truth) -> Told:
    """Ask the train cells of a task.

    Args:
        m: Its cells.
        truth: What was measured of them.
    """
    genes = truth.expressed
    square, shift = _measured(m, truth)
    z = _train_z(m)
    bank, rows, sizes = list[Floats](), dict[str, Rows](), dict[str, Floats]()
    whole = np.arange(len(m.train))
    kinds = [("", whole, np.arange(len(m.units)))]
    for name in np.unique(m.train_stratum).tolist():
        mine = np.flatnonzero(m.train_stratum == name)
        if LEAST <= len(mine) < len(whole):
            kinds.append((m.by, mine, np.flatnonzero(m.stratum == name)))
    for ending, mine, asked in kinds:
        found = _directions(shift[mine], genes)
        found["ranks"] = _mean_ranks(z[mine], genes & ~m.train_targets[mine])
        for name, direction in found.items():
            # Units of a rarer stratum keep what all train units say.
            rows.setdefault(name + ending, rows.get(name, np.zeros(len(m.units), dtype=np.int64)).copy())
            rows[name + ending][asked] = len(bank)
            bank.append(direction)
        for name, norm in _sizes(shift[mine], square[mine], genes).items():
            sizes.setdefault(name + ending, sizes.get(name, np.zeros(len(m.units))).copy())[asked] = norm
    contexts, at = np.unique(m.context, return_inverse=True)
    first = [int(np.flatnonzero(m.context == c)[0]) for c in contexts.tolist()]
    rows["c_in"] = len(bank) + at
    bank += [truth.c_in[t] for t in first]
    for name, direction in (("control_sd", truth.control_sd), ("ones", np.ones(len(genes)))):
        rows[name] = np.full(len(m.units), len(bank))
        bank.append(direction)
    whole_bank = np.array(bank) * genes
    largest = np.abs(whole_bank).max(axis=1, keepdims=True)
    return Told(whole_bank / np.where(largest > 0, largest, 1.0), rows, sizes)


def _measured(m: Cells, truth: Truth) -> tuple[Floats, Floats]:
    """Squares of train units' shifts less sampling noise, and the shifts themselves ``[U, G]``."""
    c_in = {int(c): truth.c_in[t] for t, c in enumerate(truth.context.tolist())}
    square, shift = (np.zeros((len(m.train), m.x.shape[1])) for _ in range(2))
    for u, (rows, c) in enumerate(zip(m.train, m.train_context.tolist(), strict=True)):
        if c not in c_in:
            c_in[c] = np.asarray(m.x[m.inputs[c]].astype(np.float64).mean(axis=0)).ravel()
        block = np.asarray(m.x[rows].toarray(), dtype=np.float64)
        shift[u] = block.mean(axis=0) - c_in[c]
        own = block.var(axis=0, ddof=1) / len(rows) if len(rows) > 1 else 0.0
        square[u] = shift[u] ** 2 - own - truth.control_sd**2 / len(m.inputs[c])
    return square, shift


def _train_z(m: Cells) -> Floats:
    """Wilcoxon z of the train units against the input controls of their contexts ``[U, G]``."""
    out = np.zeros((len(m.train), m.x.shape[1]))
    for c in np.unique(m.train_context).tolist():
        mine = np.flatnonzero(m.train_context == c)
        rows = np.concatenate([m.train[u] for u in mine])
        group = np.repeat(np.arange(len(mine)), [len(m.train[u]) for u in mine])
        no_halves = np.zeros((0, len(rows)), dtype=np.int64)
        cells, seen = (np.asarray(m.x[of].toarray(), dtype=np.float64) for of in (rows, m.seen[c]))
        out[mine] = z_scores(cells, group, no_halves, seen)[0][0]
    return out


def _directions(shift: Floats, genes: Bools) -> dict[str, Floats]:
    """Of some train units, as their shifts say ``[G]`` each."""
    mean = shift.mean(axis=0)
    out = {"mean": mean, "sign_rms": np.sign(mean) * np.sqrt((shift**2).mean(axis=0))}
    spread, axes = _components(shift[:, genes] - mean[genes])
    for k in range(COMPONENTS):
        out[f"pc{k + 1}"] = np.zeros(len(genes))
        if k < min(len(shift) - 1, len(spread)) and spread[k] > NOTHING * spread[0]:
            along = float(axes[k] @ mean[genes]) or float(axes[k][np.argmax(np.abs(axes[k]))])
            out[f"pc{k + 1}"][genes] = axes[k] * np.sign(along)
    return out


def _components(centred: Floats) -> tuple[Floats, Floats]:
    """Largest squared singular values ``[k]`` and their axes ``[k, n]``: eigenvectors of genes or units, the fewer."""
    units, genes = centred.shape
    side = min(units, genes)
    if side < 1:
        return np.zeros(0), np.zeros((0, genes))
    of = centred.T @ centred if genes <= units else centred @ centred.T
    spread, found = scipy.linalg.eigh(of, subset_by_index=[max(side - COMPONENTS, 0), side - 1])
    axes = found if genes <= units else centred.T @ found / np.sqrt(np.maximum(spread, np.finfo(np.float64).tiny))
    return spread[::-1], axes.T[::-1]


def _mean_ranks(z: Floats, scored: Bools) -> Floats:
    """Mean over units of the signed ranks of z, as shares of a unit's scored genes ``[G]``."""
    share = ranks(np.abs(z), scored) / np.maximum(scored.sum(axis=1), 1)[:, None]
    return np.asarray((np.sign(z) * share).mean(axis=0))


def _sizes(shift: Floats, square: Floats, genes: Bools) -> dict[str, float]:
    """Norms over expressed genes: of units, less sampling noise, and of what they have in common."""
    mean, own = shift.mean(axis=0), square[:, genes].sum(axis=1)
    return {
        "median": float(np.sqrt(max(float(np.median(own)), 0.0))),
        "rms": float(np.sqrt(max(float(own.mean()), 0.0))),
        "mean": float(np.linalg.norm(mean[genes])),
        "sign_rms": float(np.linalg.norm(np.where(mean != 0, np.sqrt((shift**2).mean(axis=0)), 0.0)[genes])),
    }
