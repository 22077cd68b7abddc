"""What combinations do beyond their singles, a second time: by projections, on planes that the common shift spans.

Taking one estimate of the singles' sum off truth and prediction would correlate both by its noise. So each side loses
its own: from other cells, or against other controls. Formulas: `bench explain epistasis_kept_r`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Largest multiple of the singles' sum that is taken off; standard errors by which replicates must agree.
MOST, AGREE = 2.0, 2.0
#: Share of a common shift under which what is left of it without its mean is rounding.
_CONSTANT = 1e-13


@dataclass(frozen=True, eq=False)
class Singles:
    """Cells of the train singles whose combinations are tested.

    Attributes:
        of: Places of its singles of each test unit ``[T]``; empty where it is no combination of train singles.
        rows: Rows of each single's train cells, ordered by barcode; singles are in the order of name and context.
        x: log1p expression of cells that are kept from all models ``[cells, G]``, CSR; ``None`` = none are.
        kept: Rows of each single's kept cells.
    """

    of: list[list[int]]
    rows: list[Rows]
    x: Any
    kept: list[Rows]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of singles' shifts, of D combinations of n singles each.

    Attributes:
        units: Which test units they are ``[D]``.
        whole: Of all train cells, from the input cells ``[D, G]``.
        halves: Of either half of each single's train cells ``[2, D, G]``.
        moved: What is to be added to count these from the reference controls ``[D, G]``.
        kept: Of kept cells, from the reference controls ``[D, G]``.
        known: Whether each single has kept cells ``[D]``.
    """

    units: Rows
    whole: Floats
    halves: Floats
    moved: Floats
    kept: Floats
    known: Bools


def added(x: Any, singles: Singles, seed: int, c_in: Floats, c_ref: Floats) -> Sums:
    """Add the singles' shifts.

    Args:
        x: log1p expression of the cells that models see ``[cells, G]``, CSR.
        singles: Of the test units.
        seed: Of the split: halves of singles are drawn by it.
        c_in: Mean of each test unit's input cells ``[T, G]``; its singles are of the same context.
        c_ref: Mean of its reference controls ``[T, G]``.
    """
    genes = c_in.shape[1]
    units = np.array([t for t, places in enumerate(singles.of) if places], dtype=np.int64)
    member = np.zeros((len(units), len(singles.rows)))
    for d, t in enumerate(units.tolist()):
        for place in singles.of[t]:
            member[d, place] += 1.0
    whole, kept = (np.zeros((len(singles.rows), genes)) for _ in range(2))
    halves = np.zeros((2, len(singles.rows), genes))
    for i, rows in enumerate(singles.rows):
        order = np.random.default_rng([seed, 0xE915, i]).permutation(rows)
        whole[i] = _mean(x, rows)
        for k in (0, 1):
            half = order[k::2]  # a single of one cell has no second half: all of it stands in
            halves[k, i] = _mean(x, half if len(half) else rows)
        if len(singles.kept[i]):
            kept[i] = _mean(singles.x, singles.kept[i])
    n = member.sum(axis=1, keepdims=True)
    zero = n * c_in[units]
    known = np.array([all(len(singles.kept[place]) for place in singles.of[t]) for t in units.tolist()], dtype=np.bool_)
    return Sums(
        units=units,
        whole=member @ whole - zero,
        halves=member @ halves - zero,
        moved=zero - n * c_ref[units],
        kept=np.where(known[:, None], member @ kept - n * c_ref[units], 0.0),
        known=known,
    )


def _mean(x: Any, rows: Rows) -> Floats:
    return np.asarray(x[rows].astype(np.float64).sum(axis=0)).ravel() / len(rows)


def _plane(common: Floats, scored: Bools) -> Floats:
    """Orthonormal axes of all shifts that are a constant and a multiple of the common one ``[D, G, 2]``."""
    w = scored.astype(np.float64)
    axes, size = np.linalg.qr(np.stack([w, w * common], axis=2))
    left, whole = np.abs(size[:, 1, 1]), np.linalg.norm(w * common, axis=1)
    axes[:, :, 1] *= (left > _CONSTANT * whole)[:, None]
    return np.asarray(axes * w[:, :, None])


def _off(shift: Floats, plane: Floats, scored: Bools) -> Floats:
    """Shifts without their part in a plane, over genes that count ``[D, G]``."""
    own = np.where(scored, shift, 0.0)
    return np.asarray(own - (plane @ (np.swapaxes(plane, 1, 2) @ own[:, :, None]))[:, :, 0])


def cosine(a: Floats, b: Floats) -> Floats:
    """Of rows ``[D]``; NaN where one is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)), -1, 1))


class Beyond:
    """What D combinations do beyond their singles, truly and as predicted.

    Args:
        sums: Of their singles.
        scored: Genes that count ``[D, G]``.
        predicted: The common shift as predictions are counted, from the input cells ``[G]``.
        true: As the truth is, from the reference controls ``[D, G]``.
    """

    def __init__(self, sums: Sums, scored: Bools, predicted: Floats, true: Floats) -> None:
        self.sums, self.scored = sums, scored
        self._mine, self._true = _plane(np.broadcast_to(predicted, true.shape), scored), _plane(true, scored)
        self._own = {name: _off(each, self._mine, scored) for name, each in self._named(sums.whole, sums.halves)}
        away = self._named(sums.whole + sums.moved, sums.halves + sums.moved)
        self._others = {name: _off(each, self._true, scored) for name, each in (*away, ("kept", sums.kept))}

    @staticmethod
    def _named(whole: Floats, halves: Floats) -> tuple[tuple[str, Floats], ...]:
        return ("whole", whole), ("first", halves[0]), ("second", halves[1])

    def claimed(self, d_hat: Floats, by: str = "whole", instrument: str = "whole") -> Floats:
        """What a prediction ``[D, G]`` says beyond the singles: least squares, or by an instrument ``[D, G]``."""
        return self._left(_off(d_hat, self._mine, self.scored), self._own[by], self._own[instrument])

    def done(self, d: Floats, by: str = "kept", instrument: str = "whole") -> Floats:
        """What a true shift ``[D, G]`` holds beyond the singles ``[D, G]``."""
        return self._left(_off(d, self._true, self.scored), self._others[by], self._others[instrument])

    @staticmethod
    def _left(shift: Floats, single: Floats, instrument: Floats) -> Floats:
        slope, strength = (instrument * shift).sum(axis=1), (instrument * single).sum(axis=1)
        multiple = np.where(strength > 0, slope / np.where(strength > 0, strength, 1.0), 0.0)
        return np.asarray(shift - np.clip(multiple, -MOST, MOST)[:, None] * single)

    def by_train(self, d: Floats, d_hat: Floats) -> Floats:
        """Agreement of truth and prediction, either without other halves of the train singles ``[D]``."""
        ways = ("first", "second"), ("second", "first")
        return np.asarray(sum(cosine(self.done(d, *way), self.claimed(d_hat, *way[::-1])) for way in ways) / 2.0)

    def by_kept(self, d: Floats, d_hat: Floats) -> Floats:
        """The same, the truth without the kept singles, the prediction without the train ones ``[D]``."""
        return cosine(self.done(d), self.claimed(d_hat))

    def resolved(self, ways: list[tuple[Floats, Floats]]) -> tuple[Bools, Bools]:
        """Of which combinations replicates agree, by train singles and by kept ones ``[D]``.

        Args:
            ways: Shift of each half, as the truth has it and as a prediction does, ``[D, G]`` each: 2i and 2i + 1 are
                the halves of halving i.
        """
        genes = np.maximum(self.scored.sum(axis=1) - 3.0, 1.0)
        out = []
        for agree in (self.by_train, self.by_kept):
            found = np.stack([agree(d, ways[h + 1 - 2 * (h % 2)][1]) for h, (d, _) in enumerate(ways)])
            each = found.reshape(len(ways) // 2, 2, len(genes)).mean(axis=1)
            bound = each.mean(axis=0) - AGREE * np.sqrt(each.var(axis=0, ddof=1) + 1.0 / genes)
            out.append(np.asarray(np.isfinite(bound) & (bound > 0)))
        return out[0], out[1] & self.sums.known
