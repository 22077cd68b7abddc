"""What test units did, measured a second time from the cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.beyond import Beyond, Singles, added
from bench.audit.second.elsewhere import from_elsewhere
from bench.audit.second.ranksum import z_scores

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Times that each unit's cells are cut in halves; train cells that must have a gene; false discovery rate.
HALVINGS, EXPRESSING, FDR = 5, 10, 0.05


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells, and who they are.

    Attributes:
        x: log1p expression ``[cells, G]``, CSR.
        units: Rows of each test unit's cells ``[T]``, each ordered by barcode.
        context: Context of each unit ``[T]``.
        stratum: Perturbed genes of each unit, or dose and time ``[T]``.
        targets: Genes that are perturbed in it ``[T, G]``.
        perturbation: What each unit is, in whatever order its genes are named ``[T]``.
        subgroup: Of each unit, as the split has it; empty = none ``[T]``.
        train: Rows of each train unit.
        train_context: Its context.
        train_perturbation: What it is.
        train_stratum: Likewise ``[U]``.
        train_targets: Genes that are perturbed in it ``[U, G]``.
        inputs: Rows of the input cells, by context.
        seen: Rows of the input controls, by context.
        reference: Rows of the reference controls, by context.
        controls: Rows of all controls, by context.
        by_barcode: The same, of all contexts, ordered by barcode.
        replicate: Rows of ``deep`` from which a replicate's shift is measured, by context.
        deep: ``x`` before cells lost counts for the split.
        singles: Of test units that are combinations.
        seed: Seed of the split.
        by: Ends the name of an answer that is another for each stratum: ``_by_number``, of compounds ``_by_dose``.
        drawn: Seed of the cuts of the test units in two, which follows from their names.
    """

    x: Any
    units: list[Rows]
    context: Rows
    stratum: NDArray[np.str_]
    targets: Bools
    perturbation: NDArray[np.str_]
    subgroup: NDArray[np.str_]
    train: list[Rows]
    train_context: Rows
    train_perturbation: NDArray[np.str_]
    train_stratum: NDArray[np.str_]
    train_targets: Bools
    inputs: list[Rows]
    seen: list[Rows]
    reference: list[Rows]
    controls: list[Rows]
    by_barcode: Rows
    replicate: list[Rows]
    deep: Any
    singles: Singles
    seed: int
    by: str
    drawn: int


@dataclass(frozen=True, eq=False)
class Truth:
    """Facts of T units over G genes; index 0 of the first axis is all cells, then come 10 halves.

    Attributes:
        y: Means ``[11, T, G]``.
        z: Wilcoxon z against the reference controls ``[11, T, G]``.
        z_sd: SD of the test of all cells, before it is one ``[T, G]``.
        d_var: Sampling variance of the true shift ``[11, T, G]``.
        c_in: Mean of the input cells ``[T, G]``.
        c_ref: Mean of the reference controls ``[T, G]``.
        c_rep: Mean of the controls from which a replicate's shift is measured ``[T, G]``.
        significant: Benjamini-Hochberg at 5% over expressed genes ``[T, G]``.
        expressed: ``[G]``.
        scored: Expressed and not perturbed ``[T, G]``.
        targets: ``[T, G]``.
        train_delta: Mean shift of the train units ``[G]``.
        train_y: Mean of their means ``[G]``.
        control_sd: Of input controls within contexts ``[G]``.
        c_all: Mean of all controls of the unit's context ``[T, G]``.
        top: Top 50 genes of a Welch t against these ``[T, 50]``.
        spread: Mean over genes of the variance of the unit's cells, ddof 0 ``[T]``.
        context: ``[T]``.
        stratum: ``[T]``.
        perturbation: ``[T]``.
        elsewhere: Shifts of units that follow from other contexts ``[T, G]``, by name.
        beyond: What D of the units, which are combinations of train singles, do beyond these.
        resolved: Whether their replicates agree on it, by train singles and by kept ones ``[2, D]``.
    """

    y: Floats
    z: Floats
    z_sd: Floats
    d_var: Floats
    c_in: Floats
    c_ref: Floats
    c_rep: Floats
    significant: Bools
    expressed: Bools
    scored: Bools
    targets: Bools
    train_delta: Floats
    train_y: Floats
    control_sd: Floats
    c_all: Floats
    top: Rows
    spread: Floats
    context: Rows
    stratum: NDArray[np.str_]
    perturbation: NDArray[np.str_]
    elsewhere: dict[str, Floats]
    beyond: Beyond
    resolved: Bools


def measure(m: Cells) -> Truth:
    """Measure the truth of a task."""
    mean = [_mean(m.x, rows) for rows in m.inputs]
    c_in, c_ref = np.stack(mean), np.stack([_mean(m.x, rows) for rows in m.reference])
    train = np.stack([_mean(m.x, rows) for rows in m.train])
    seen = np.unique(np.concatenate(m.seen))
    learned = np.unique(np.concatenate([*m.train, seen]))
    expressed = np.bincount(m.x[learned].indices, minlength=m.x.shape[1]) >= EXPRESSING
    sd = _within_sd(m, seen)
    sides = _sides(m)
    y, var, spread = _moments(m, sides)
    cells = np.array([len(rows) for rows in m.units])
    # Of an odd number the first half has one more.
    sizes = np.stack([cells, *((cells + 1 - half % 2) // 2 for half in range(2 * HALVINGS))])
    n_ref = np.array([len(rows) for rows in m.reference])[m.context]
    d_var = var[None] / np.maximum(sizes, 1)[:, :, None] + (1.0 / np.maximum(n_ref, 1))[None, :, None] * sd**2
    z, z_sd = np.zeros_like(y), np.zeros_like(y[0])
    for c in np.unique(m.context).tolist():
        mine = np.flatnonzero(m.context == c)
        rows = np.concatenate([m.units[t] for t in mine])
        group = np.repeat(np.arange(len(mine)), cells[mine])
        side = np.concatenate([sides[t] for t in mine], axis=1)
        z[:, mine], z_sd[mine] = z_scores(_dense(m.x, rows), group, side, _dense(m.x, m.reference[c]))
    c_all, top = _published(m, y[0], var, cells)
    c_rep, train_delta = np.stack([_mean(m.deep, rows) for rows in m.replicate]), train - c_in[m.train_context]
    c_in, c_ref, c_rep = c_in[m.context], c_ref[m.context], c_rep[m.context]
    sums = added(m.x, m.singles, m.seed, c_in, c_ref)
    of = sums.units
    beyond = Beyond(sums, (expressed & ~m.targets)[of], train_delta.mean(axis=0), train.mean(axis=0) - c_ref[of])
    return Truth(
        y=y,
        z=z,
        z_sd=z_sd,
        d_var=d_var,
        c_in=c_in,
        c_ref=c_ref,
        c_rep=c_rep,
        significant=_significant(z[0], expressed),
        expressed=expressed,
        scored=expressed & ~m.targets,
        targets=m.targets,
        train_delta=train_delta.mean(axis=0),
        train_y=train.mean(axis=0),
        control_sd=sd,
        c_all=c_all,
        top=top,
        spread=spread,
        context=m.context,
        stratum=m.stratum,
        perturbation=m.perturbation,
        elsewhere=from_elsewhere(train_delta, (m.train_perturbation, m.train_context), (m.perturbation, m.context)),
        beyond=beyond,
        resolved=np.stack(beyond.resolved([(half[of] - c_ref[of], half[of] - c_rep[of]) for half in y[1:]])),
    )


def _dense(x: Any, rows: Rows) -> Floats:
    return np.asarray(x[rows].toarray(), dtype=np.float64)


def _mean(x: Any, rows: Rows) -> Floats:
    return np.asarray(x[rows].astype(np.float64).sum(axis=0)).ravel() / len(rows)


def _within_sd(m: Cells, seen: Rows) -> Floats:
    """SD of the input controls about the mean of their context's ``[G]``."""
    square, contexts = np.zeros(m.x.shape[1]), 0
    owner = {int(row): c for c, rows in enumerate(m.controls) for row in rows}
    of = np.array([owner[int(row)] for row in seen])
    for c in range(len(m.controls)):
        rows = seen[of == c]
        contexts += 1
        if len(rows):
            block = _dense(m.x, rows)
            square += ((block - block.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(np.sqrt(square / max(1, len(seen) - contexts)))


def _sides(m: Cells) -> list[Rows]:
    """Half of each cell of each unit, by halving ``[5, n]``: half of a random order, as the task defines it."""
    out = [np.zeros((HALVINGS, len(rows)), dtype=np.int64) for rows in m.units]
    for repeat in range(HALVINGS):
        rng = np.random.default_rng([m.seed, repeat, 0x4A1F])
        for mine, rows in zip(out, m.units, strict=True):
            mine[repeat] = np.isin(rows, rng.permutation(rows)[1::2])
    return out


def _moments(m: Cells, sides: list[Rows]) -> tuple[Floats, Floats, Floats]:
    """Means of all cells and of halves ``[11, T, G]``, variance (ddof 1) ``[T, G]``, mean variance (ddof 0) ``[T]``."""
    genes = m.x.shape[1]
    y, var = np.zeros((1 + 2 * HALVINGS, len(m.units), genes)), np.zeros((len(m.units), genes))
    spread = np.zeros(len(m.units))
    for t, (rows, side) in enumerate(zip(m.units, sides, strict=True)):
        block = _dense(m.x, rows)
        y[0, t] = block.mean(axis=0)
        for half in range(2 * HALVINGS):
            chosen = side[half // 2] == half % 2
            y[1 + half, t] = block[chosen].mean(axis=0) if chosen.any() else 0.0
        square = ((block - y[0, t]) ** 2).sum(axis=0)
        var[t] = square / max(len(rows) - 1, 1)
        spread[t] = (square / len(rows)).mean()
    return y, var, spread


def _significant(z: Floats, expressed: Bools) -> Bools:
    """Benjamini-Hochberg over expressed genes of two-sided p of z."""
    p = np.array([math.erfc(x) for x in (np.abs(z) / math.sqrt(2.0)).ravel().tolist()]).reshape(z.shape)
    out = np.zeros(z.shape, dtype=np.bool_)
    genes = np.flatnonzero(expressed)
    for t in range(len(z)):
        order = genes[np.argsort(p[t, genes], kind="stable")]
        passing = np.flatnonzero(p[t, order] <= FDR * np.arange(1, len(genes) + 1) / len(genes))
        if len(passing):
            out[t, genes] = p[t, genes] <= p[t, order[passing[-1]]]
    return out


def _published(m: Cells, y: Floats, var: Floats, cells: Rows) -> tuple[Floats, Rows]:
    """Mean of all controls of each unit's context, and its top 50 genes by a Welch t against them."""
    everyone = np.concatenate(m.controls)
    c_all, top = np.zeros_like(y), np.zeros((len(y), min(50, y.shape[1])), dtype=np.int64)
    for c in np.unique(m.context).tolist():
        mine = m.context == c
        block = _dense(m.x, m.controls[c] if len(m.controls[c]) else everyone)
        centre, scatter = block.mean(axis=0), block.var(axis=0, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (y[mine] - centre) / np.sqrt(var[mine] / cells[mine][:, None] + scatter / len(block))
        t = np.abs(np.where(np.isfinite(t), t, 0.0))
        c_all[mine], top[mine] = centre, np.argsort(-t, axis=1, kind="stable")[:, : top.shape[1]]
    return c_all, top
