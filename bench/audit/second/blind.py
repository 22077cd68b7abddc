"""What answers score that do not know the condition, a second time: values against halves of the cells ``[T]``.

An answer is a direction (pattern and DE), a size, nothing at all, or the best direction in the span of all and the best
size: chosen on half of the test units, scored on the other half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.scores import LIMIT, NOISE, Scores, deviation
from bench.audit.second.told import UNSIGNED, Told, told
from bench.audit.second.truth import Cells, Truth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
#: By metric.
Values = dict[str, Floats]

PATTERN, SIZE, DE = "pearson_delta", "shift_ratio", "signed_rank_z"
#: Cuts of the units in two, each used both ways round; units that have a span of their own, at least.
CUTS, LEAST = 100, 20
#: A singular value below this share of the largest is none; so is a deviation of what is at most 1.
SINGULAR, CONSTANT = 1e-6, 1e-6


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the halves say, mean by mean.

    Attributes:
        truth: Of the task.
        pattern: Mean over halves of true shifts, each of mean 0 and norm 1 over scored genes ``[T, G]``.
        de: The same of z.
        size: Log size by half ``[10, T]``; NaN where it has none.
    """

    truth: Truth
    pattern: Floats
    de: Floats
    size: Floats

    def sized(self, log: Floats) -> Floats:
        """What log norms ``[..., T]`` score ``[..., T]``."""
        off = np.abs(np.clip(log[..., None, :] - self.size, -LIMIT, LIMIT))
        return 0.0 - _mean(off, axis=-2)


def blind_answers(m: Cells, truth: Truth) -> dict[str, Values]:
    """Score every condition-blind answer of a task, by name.

    Args:
        m: Its cells.
        truth: What was measured of them.
    """
    said, asked = told(m, truth), _asked(truth)
    reached = _directions(said, asked)
    nothing = np.full(len(m.units), -np.inf)
    zero = {PATTERN: 0.0 * asked.pattern.sum(axis=1), DE: 0.0 * asked.de.sum(axis=1)}
    out = {"nothing": {**zero, SIZE: asked.sized(nothing)}}
    for name, values in reached.items():
        out[name] = values
        if name.removesuffix(m.by) in UNSIGNED:
            out[f"-{name}"] = {metric: -each for metric, each in values.items()}
    with np.errstate(divide="ignore"):
        out |= {f"size_{name}": {SIZE: asked.sized(np.log(norm))} for name, norm in said.sizes.items()}
    return out | _spans(m, said, asked)


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _asked(truth: Truth) -> _Asked:
    pattern, de, size = list[Floats](), list[Floats](), list[Floats]()
    nothing = np.zeros_like(truth.c_in)
    for half in range(1, len(truth.y)):
        scores = Scores(truth, nothing, half)
        for out, values, none in (
            (pattern, scores.d, scores.flat),
            (de, scores.z, ~(deviation(scores.z, scores.w) > 0)),
        ):
            out.append(np.where(none[:, None], np.nan, _standard(values, truth.scored)))
        square, unclear = scores.true_size()
        size.append(np.where(unclear, np.nan, 0.5 * np.log(np.where(unclear, 1.0, square))))
    return _Asked(truth, _mean(np.array(pattern), 0), _mean(np.array(de), 0), np.array(size))


def _standard(values: Floats, genes: Bools) -> Floats:
    """Of mean 0 and norm 1 over some genes, 0 at the others; NaN or 0 where they do not differ."""
    mean = np.where(genes, values, 0.0).sum(axis=-1, keepdims=True) / np.maximum(genes.sum(axis=-1, keepdims=True), 1)
    centred = np.where(genes, values - mean, 0.0)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray(centred / np.where(norm > 0, norm, 1.0))


def _levels(bank: Floats) -> Floats:
    """Sizes in whole steps of noise: directions are at most 1."""
    return np.rint(np.abs(bank) / NOISE)


def _signed(bank: Floats, genes: Rows) -> Floats:
    """Average ranks of sizes over some genes, with their sign ``[K, n]``; 0 where a direction is none."""
    levels = _levels(bank[:, genes])
    out = np.empty(levels.shape)
    for row, level in zip(out, levels, strict=True):
        _, place, count = np.unique(level, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return np.where(levels > 0, np.sign(bank[:, genes]), 0.0) * out


def _directions(said: Told, asked: _Asked) -> dict[str, Values]:
    """What each direction scores in pattern and DE."""
    truth, bank = asked.truth, said.bank
    expressed = np.flatnonzero(truth.expressed)
    levels, sign = _levels(bank[:, expressed]), np.sign(bank[:, expressed])
    ranks = np.abs(_signed(bank, expressed))
    ranks[levels == 0] = 0.0
    pattern, de = (np.zeros((len(bank), len(truth.scored))) for _ in range(2))
    for t, scored in enumerate(truth.scored):
        inside = scored[expressed]
        # Without its own targets, whoever is above one moves down by a place, and whoever ties with it by half of one.
        gone = levels[:, ~inside][:, :, None]
        lower = ((gone < levels[:, None, :]) + 0.5 * (gone == levels[:, None, :])).sum(axis=1)
        signed = np.where(levels > 0, sign * (ranks - lower), 0.0)[:, inside]
        mine, everyone = bank[:, expressed[inside]], np.ones((1, int(inside.sum())), dtype=np.bool_)
        told_apart = mine.std(axis=1) > CONSTANT
        for out, values, true in ((pattern, mine, asked.pattern), (de, signed, asked.de)):
            out[:, t] = np.where(told_apart, _standard(values, everyone) @ true[t, expressed[inside]], 0.0)
            out[:, t] += 0.0 * true[t].sum()  # NaN where the truth is undefined
    units = np.arange(len(truth.scored))
    return {name: {PATTERN: pattern[rows, units], DE: de[rows, units]} for name, rows in said.rows.items()}


def _spans(m: Cells, said: Told, asked: _Asked) -> dict[str, Values]:
    """The best of the span: of all units, of strata, and of each subgroup."""
    genes = np.flatnonzero(asked.truth.expressed)
    bases = {PATTERN: said.bank[:, genes], DE: _signed(said.bank, genes)}
    whole = _span(m, np.arange(len(m.units)), bases, asked)
    out = {"span": whole}
    strata = [np.flatnonzero(m.stratum == name) for name in np.unique(m.stratum).tolist()]
    large = [rows for rows in strata if len(rows) >= LEAST]
    if len(strata) > 1 and large:
        mixed = {metric: values.copy() for metric, values in whole.items()}
        for rows in large:
            for metric, values in _span(m, rows, bases, asked).items():
                mixed[metric][rows] = values[rows]
        out[f"span{m.by}"] = mixed
    for name in np.unique(m.subgroup[m.subgroup != ""]).tolist():
        rows = np.flatnonzero(m.subgroup == name)
        if len(rows) >= LEAST:
            out[f"span@{name}"] = _span(m, rows, bases, asked)
    return out


def _span(m: Cells, rows: Rows, bases: dict[str, Floats], asked: _Asked) -> Values:
    """The best of the span for some units, NaN of others: a mean over the cuts in which it was not chosen on a unit."""
    half = np.argsort(np.random.default_rng([m.drawn, len(rows), 0x59A4]).random((CUTS, len(rows))), axis=1)
    chosen = np.concatenate([half < len(rows) // 2, half >= len(rows) // 2])
    out = {metric: np.full(len(m.units), np.nan) for metric in (PATTERN, DE, SIZE)}
    genes = np.flatnonzero(asked.truth.expressed)
    for metric, true in ((PATTERN, asked.pattern), (DE, asked.de)):
        mine = np.where(np.isfinite(true), true, 0.0)[np.ix_(rows, genes)]
        w = asked.truth.scored[np.ix_(rows, genes)].astype(np.float64)
        goal = chosen @ mine
        basis = bases[metric] - bases[metric].mean(axis=1, keepdims=True)
        norm = np.linalg.norm(basis, axis=1, keepdims=True)
        basis = (basis / np.where(norm > 0, norm, 1.0))[norm[:, 0] > 1e-9 * np.sqrt(m.x.shape[1])]
        # Of all mixtures the one nearest to the mean truth correlates best with it.
        weights = np.linalg.lstsq(basis.T, goal.T, rcond=SINGULAR)[0]
        best = weights.T @ basis  # [cuts, genes]
        norm = np.sqrt(np.maximum(best**2 @ w.T - (best @ w.T) ** 2 / np.maximum(w.sum(axis=1), 1), 0.0))
        r = np.where(norm > 0, best @ mine.T / np.where(norm > 0, norm, 1.0), 0.0)
        out[metric][rows] = (r * ~chosen).sum(axis=0) / np.maximum((~chosen).sum(axis=0), 1)
        out[metric][rows] += 0.0 * true[rows].sum(axis=1)
    size = asked.size[:, rows]
    of_unit = _mean(size, 0)
    known = np.isfinite(of_unit)
    log = np.array([np.median(of_unit[cut & known]) if (cut & known).any() else -np.inf for cut in chosen])
    off = np.abs(np.clip(log[:, None, None] - size, -LIMIT, LIMIT))
    scored = np.where(chosen, np.nan, 0.0 - _mean(off, 1))
    out[SIZE][rows] = _mean(scored, 0)
    return out
