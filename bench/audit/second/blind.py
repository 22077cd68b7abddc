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


@dataclass(frozen=True, eq=False)
class Answer:
    """A condition-blind answer.

    Attributes:
        values: What it scores against halves, by metric ``[T]``.
        pattern: What is multiplied with a unit's shift, of mean 0 and norm 1 over scored genes, 0 elsewhere ``[T, G]``.
        de: The same of z.
        size: Log norms ``[T]``. None of the three where it is no such answer.
    """

    values: Values
    pattern: Floats | None = None
    de: Floats | None = None
    size: Floats | None = None

    @property
    def reversed(self) -> Answer:
        """The same direction the other way."""
        assert self.pattern is not None
        assert self.de is not None
        return Answer({metric: -each for metric, each in self.values.items()}, -self.pattern, -self.de)


def blind_answers(m: Cells, truth: Truth) -> dict[str, Answer]:
    """Score every condition-blind answer of a task, by name.

    Args:
        m: Its cells.
        truth: What was measured of them.
    """
    said, asked = told(m, truth), _asked(truth)
    nothing, zeros = np.full(len(m.units), -np.inf), np.zeros_like(truth.c_in)
    zero = {PATTERN: 0.0 * asked.pattern.sum(axis=1), DE: 0.0 * asked.de.sum(axis=1)}
    out = {"nothing": Answer({**zero, SIZE: asked.sized(nothing)}, zeros, zeros, nothing)}
    for name, answer in _directions(said, asked).items():
        out[name] = answer
        if name.removesuffix(m.by) in UNSIGNED:
            out[f"-{name}"] = answer.reversed
    with np.errstate(divide="ignore"):
        for name, norm in said.sizes.items():
            out[f"size_{name}"] = Answer({SIZE: asked.sized(np.log(norm))}, size=np.log(norm))
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


def _directions(said: Told, asked: _Asked) -> dict[str, Answer]:
    """What each direction scores in pattern and DE."""
    truth, bank = asked.truth, said.bank
    expressed = np.flatnonzero(truth.expressed)
    levels, sign = _levels(bank[:, expressed]), np.sign(bank[:, expressed])
    ranks = np.abs(_signed(bank, expressed))
    ranks[levels == 0] = 0.0
    pattern, de = (np.zeros((len(bank), *truth.scored.shape)) for _ in range(2))
    for t, scored in enumerate(truth.scored):
        inside = scored[expressed]
        # Without its own targets, whoever is above one moves down by a place, and whoever ties with it by half of one.
        gone = levels[:, ~inside][:, :, None]
        lower = ((gone < levels[:, None, :]) + 0.5 * (gone == levels[:, None, :])).sum(axis=1)
        signed = np.where(levels > 0, sign * (ranks - lower), 0.0)[:, inside]
        mine, everyone = bank[:, expressed[inside]], np.ones((1, int(inside.sum())), dtype=np.bool_)
        told_apart = mine.std(axis=1) > CONSTANT
        for out, values in ((pattern, mine), (de, signed)):
            out[:, t, expressed[inside]] = np.where(told_apart[:, None], _standard(values, everyone), 0.0)
    units, found = np.arange(len(truth.scored)), dict[str, Answer]()
    true = {PATTERN: asked.pattern, DE: asked.de}
    for name, rows in said.rows.items():
        vectors = {PATTERN: pattern[rows, units], DE: de[rows, units]}
        # NaN where the truth is undefined.
        reached = {metric: (each * true[metric]).sum(axis=1) for metric, each in vectors.items()}
        found[name] = Answer(reached, vectors[PATTERN], vectors[DE])
    return found


def _spans(m: Cells, said: Told, asked: _Asked) -> dict[str, Answer]:
    """The best of the span: of all units, of strata, and of each subgroup."""
    genes = np.flatnonzero(asked.truth.expressed)
    bases = {PATTERN: said.bank[:, genes], DE: _signed(said.bank, genes)}
    everyone = np.arange(len(m.units))
    out = {"span": _span(m, [everyone], bases, asked)}
    strata = [np.flatnonzero(m.stratum == name) for name in np.unique(m.stratum).tolist()]
    large = [rows for rows in strata if len(rows) >= LEAST]
    if len(strata) > 1 and large:
        # Units of a rarer stratum keep what is fitted to all.
        out[f"span{m.by}"] = _span(m, [everyone, *large], bases, asked)
    for name in np.unique(m.subgroup[m.subgroup != ""]).tolist():
        rows = np.flatnonzero(m.subgroup == name)
        if len(rows) >= LEAST:
            out[f"span@{name}"] = _span(m, [rows], bases, asked)
    return out


def _span(m: Cells, parts: list[Rows], bases: dict[str, Floats], asked: _Asked) -> Answer:
    """The best of the span for parts of the units, each by itself, a later one in place of earlier ones; NaN elsewhere.

    A mean over the cuts in which it was not chosen on a unit.
    """
    values = {metric: np.full(len(m.units), np.nan) for metric in (PATTERN, DE, SIZE)}
    vectors = {metric: np.zeros_like(asked.pattern) for metric in (PATTERN, DE)}
    size = np.full(len(m.units), np.nan)
    genes = np.flatnonzero(asked.truth.expressed)
    for rows in parts:
        half = np.argsort(np.random.default_rng([m.drawn, len(rows), 0x59A4]).random((CUTS, len(rows))), axis=1)
        chosen = np.concatenate([half < len(rows) // 2, half >= len(rows) // 2])
        for metric, true in ((PATTERN, asked.pattern), (DE, asked.de)):
            mine = np.where(np.isfinite(true), true, 0.0)[np.ix_(rows, genes)]
            w = asked.truth.scored[np.ix_(rows, genes)].astype(np.float64)
            found = _mixture(mine, w, bases[metric], chosen, m.x.shape[1])
            vectors[metric][np.ix_(rows, genes)] = found
            values[metric][rows] = (found * mine).sum(axis=1) + 0.0 * true[rows].sum(axis=1)
        values[SIZE][rows], size[rows] = _best_size(asked.size[:, rows], chosen)
    return Answer(values, vectors[PATTERN], vectors[DE], size)


def _mixture(mine: Floats, w: Floats, bank: Floats, chosen: Bools, every: int) -> Floats:
    """Mean over cuts of the mixture that is best on the chosen units, of mean 0 and norm 1 over a unit's scored genes.

    Args:
        mine: Truths of the units, 0 where they have none ``[n, genes]``.
        w: 1 at scored genes ``[n, genes]``.
        bank: Directions ``[K, genes]``.
        chosen: Units by cut ``[cuts, n]``.
        every: How many genes there are.
    """
    basis = bank - bank.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(basis, axis=1, keepdims=True)
    basis = (basis / np.where(norm > 0, norm, 1.0))[norm[:, 0] > 1e-9 * np.sqrt(every)]
    # Of all mixtures the one nearest to the mean truth correlates best with it.
    weights = np.linalg.lstsq(basis.T, (chosen @ mine).T, rcond=SINGULAR)[0]
    best = weights.T @ basis  # [cuts, genes]
    n = np.maximum(w.sum(axis=1), 1)
    level = best @ w.T / n
    norm = np.sqrt(np.maximum(best**2 @ w.T - n * level**2, 0.0))
    share = np.where(~chosen & (norm > 0), 1.0 / np.where(norm > 0, norm, 1.0), 0.0)
    share /= np.maximum((~chosen).sum(axis=0), 1)
    return np.asarray(w * (share.T @ best - (share * level).sum(axis=0)[:, None]))


def _best_size(size: Floats, chosen: Bools) -> tuple[Floats, Floats]:
    """What the median of the chosen units' log sizes scores on the others, and its mean over cuts ``[n]`` each."""
    of_unit = _mean(size, 0)
    known = np.isfinite(of_unit)
    log = np.array([np.median(of_unit[cut & known]) if (cut & known).any() else -np.inf for cut in chosen])
    off = np.abs(np.clip(log[:, None, None] - size, -LIMIT, LIMIT))
    scored = np.where(chosen, np.nan, 0.0 - _mean(off, 1))
    return _mean(scored, 0), _mean(np.where(chosen, np.nan, log[:, None]), 0)
