"""Metrics of predicted shifts, a second time: one value per unit ``[T]``; formulas: `bench explain METRIC`.

A value that the truth does not allow is NaN; one that the prediction does not (it tells no gene from another) is the
metric's chance value. Sums over genes are over scored genes: expressed, and not perturbed in the unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.interaction import block, interactions
from bench.audit.second.truth import Truth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Smallest difference that is none, as a share of the largest expression; cosines closer than this are tied.
NOISE, TIE = 1e-6, 1e-9
#: Units of a gallery, significant genes of a share, standard errors of a size, at least.
GALLERY, SIGNIFICANT, CLEAR = 5, 5, 2.0
LIMIT = math.log(10.0)


def noise(expression: Floats, scored: Bools) -> Floats:
    """``[T]`` what a difference must exceed to be one."""
    largest = np.abs(np.where(scored, expression, 0.0)).max(axis=1)
    return np.asarray(NOISE * np.maximum(1.0, largest))


def deviation(x: Floats, w: Floats) -> Floats:
    """``[T]`` weighted SD over genes."""
    n = np.maximum(w.sum(axis=1), 1e-300)
    mean = (w * x).sum(axis=1) / n
    return np.asarray(np.sqrt((w * (x - mean[:, None]) ** 2).sum(axis=1) / n))


def correlation(a: Floats, b: Floats, w: Floats) -> Floats:
    """``[T]`` weighted Pearson correlation over genes; NaN where one is constant."""
    n = np.maximum(w.sum(axis=1), 1e-300)[:, None]
    a, b = (v - (w * v).sum(axis=1, keepdims=True) / n for v in (a, b))
    size = np.sqrt((w * a * a).sum(axis=1) * (w * b * b).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip((w * a * b).sum(axis=1) / size, -1.0, 1.0))


def ranks(values: Floats, scored: Bools) -> Floats:
    """Average ranks 1..n of scored genes by unit ``[T, G]``; 0 elsewhere."""
    out = np.zeros(values.shape)
    for t, mine in enumerate(scored):
        _, place, count = np.unique(values[t, mine], return_inverse=True, return_counts=True)
        out[t, mine] = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return out


def first(values: Floats, scored: Bools, k: int) -> Floats:
    """Membership of the k scored genes of largest value ``[T, G]``; genes tied at the last place share it."""
    out = np.zeros(values.shape)
    for t, mine in enumerate(scored):
        if mine.sum() < k:
            out[t] = np.nan
            continue
        own = np.where(mine, values[t], -np.inf)
        last = np.sort(own)[-k]
        above, tied = own > last, own == last
        out[t] = above + tied * ((k - above.sum()) / tied.sum())
    return out


class Scores:
    """All metrics of one prediction.

    Args:
        truth: Of the task.
        d_hat: Predicted shifts ``[T, G]``.
        half: 0 = against all cells; 1 to 10 = against a half.
    """

    def __init__(self, truth: Truth, d_hat: Floats, half: int = 0) -> None:
        self.truth, self.d_hat = truth, d_hat
        self.y_hat, self.y, self.z = truth.c_in + d_hat, truth.y[half], truth.z[half]
        self.d, self.d_var = self.y - truth.c_ref, truth.d_var[half]
        self.scored, self.w = truth.scored, truth.scored.astype(np.float64)
        self.noise, self.true_noise = noise(self.y_hat, self.scored), noise(self.y, self.scored)
        self.flat = ~(deviation(self.d, self.w) > self.true_noise)
        self.degenerate = ~(deviation(d_hat, self.w) > self.noise)

    @cached_property
    def steps(self) -> Floats:
        """Sizes of predicted shifts in whole steps of noise ``[T, G]``."""
        return np.rint(np.abs(self.d_hat) / self.noise[:, None])

    @cached_property
    def signed(self) -> Floats:
        """Average ranks of these sizes, with the shift's sign ``[T, G]``; 0 where it is none."""
        return self.calls * ranks(self.steps, self.scored)

    @cached_property
    def calls(self) -> Floats:
        """Directions of predicted shifts ``[T, G]``; 0 where there is none."""
        return np.where(self.steps > 0, np.sign(self.d_hat), 0.0)

    def families(self) -> dict[str, Floats]:
        """The metrics that skill is made from, over all units."""
        return {
            "pearson_delta": self._settled(correlation(self.d_hat, self.d, self.w), self.flat, 0.0),
            "discrimination": self.identity(np.arange(len(self.d))),
            "shift_ratio": self.size()["shift_ratio"],
            "signed_rank_z": self._settled(
                correlation(self.signed, self.z, self.w), ~(deviation(self.z, self.w) > 0), 0.0
            ),
            "epistasis_kept_r": self.epistasis(kept=True),
        }

    def _settled(self, values: Floats, undefined: Bools, chance: Floats | float | None) -> Floats:
        """Chance where the prediction allows no value, NaN where the truth does not."""
        if chance is not None:
            values = np.where(self.degenerate | ~np.isfinite(values), chance, values)
        return np.where(undefined, np.nan, values)

    def pattern(self) -> dict[str, Floats]:
        """Other correlations of shifts."""
        top = first(np.abs(self.z), self.scored, 20)
        some, top = np.isfinite(top).all(axis=1), np.nan_to_num(top)
        sd = self._floored_sd()
        t = self.truth.train_y
        clear = deviation(self.d_hat, top) > self.noise
        apart = deviation(self.y_hat - t, self.w) > self.noise
        at20, ref = correlation(self.d_hat, self.d, top), correlation(self.y_hat - t, self.y - t, self.w)
        return {
            "pearson_delta@20": self._settled(
                np.where(clear, at20, np.nan), ~some | ~(deviation(self.d, top) > self.true_noise), 0.0
            ),
            "pearson_delta_z": self._settled(correlation(self.d_hat / sd, self.d / sd, self.w), self.flat, 0.0),
            "pearson_delta_pert_ref": self._settled(
                np.where(apart, ref, np.nan), ~(deviation(self.y - t, self.w) > self.true_noise), 0.0
            ),
        }

    def _floored_sd(self) -> Floats:
        sd = self.truth.control_sd
        floor = float(np.quantile(sd[self.truth.expressed], 0.1))
        if floor <= 0:
            floor = float(np.quantile(sd[self.truth.expressed & (sd > 0)], 0.1))
        return np.maximum(sd, floor)

    def true_size(self) -> tuple[Floats, Bools]:
        """Squared norms of true shifts less what noise adds ``[T]``, and whose is not clear of it."""
        true, var = np.where(self.scored, self.d, 0.0), np.where(self.scored, self.d_var, 0.0)
        square = (true**2).sum(axis=1) - var.sum(axis=1)
        unmoved = np.abs(true).max(axis=1) <= self.true_noise
        return square, unmoved | (square <= CLEAR * np.sqrt(2.0 * (var**2).sum(axis=1)))

    def size(self) -> dict[str, Floats]:
        """Sizes of shifts."""
        mine, true = (np.where(self.scored, shift, 0.0) for shift in (self.d_hat, self.d))
        square, unclear = self.true_size()
        unmoved = np.abs(true).max(axis=1) <= self.true_noise
        own = (mine**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.clip(0.5 * np.log(own / square), -LIMIT, LIMIT)
            slope = (mine * true).sum(axis=1) / own
        log = np.where(own == 0, -LIMIT, log)
        return {
            "shift_ratio": np.where(unclear, np.nan, 0.0 - np.abs(log)),
            "shift_log_ratio": np.where(unclear, np.nan, log),
            "shift_magnitude": np.abs(mine).sum(axis=1) / np.maximum(self.scored.sum(axis=1), 1),
            "calibration_slope": self._settled(slope, unmoved, 0.0),
        }

    def de(self) -> dict[str, Floats]:
        """Genes that respond."""
        n = self.scored.sum(axis=1)
        strength, size = np.abs(self.z), self.steps
        judged = self.truth.significant & self.scored
        found, own = judged.sum(axis=1), ranks(size, self.scored)
        few, constant = found < SIGNIFICANT, ~(deviation(strength, self.w) > 0)
        sign = np.where(np.abs(self.d_hat) > self.noise[:, None], np.sign(self.d_hat), 0.0)
        agree = np.where(judged, sign * np.sign(self.d), 0.0).sum(axis=1)
        out = {
            "spearman_de": self._settled(correlation(own, ranks(strength, self.scored), self.w), constant, 0.0),
            "direction_accuracy": self._settled((found + agree) / (2.0 * np.maximum(found, 1)), few, 0.5),
            "auprc_de": self._settled(self._average_precision(size, judged), few, found / np.maximum(n, 1)),
        }
        for k in (20, 50):
            shared = np.nansum(first(size, self.scored, k) * first(strength, self.scored, k), axis=1) / k
            chance = k / np.maximum(n, 1)
            out[f"de_recall@{k}"] = self._settled(shared, n < k, chance)
            out[f"de_recall_sig@{k}"] = self._settled(shared, (n < k) | (found < k), chance)
        return out

    def _average_precision(self, size: Floats, judged: Bools) -> Floats:
        out = np.full(len(size), np.nan)
        for t, mine in enumerate(self.scored):
            hit = judged[t, mine]
            if hit.any():
                values, place = np.unique(-size[t, mine], return_inverse=True)  # the largest first, ties together
                hits = np.cumsum(np.bincount(place, weights=hit, minlength=len(values)))
                seen = np.cumsum(np.bincount(place, minlength=len(values)))
                out[t] = (np.diff(hits, prepend=0.0) * hits / seen).sum() / hit.sum()
        return out

    def fit(self) -> dict[str, Floats]:
        """Errors, and shares of variance that are explained."""
        strength = np.abs(np.where(self.scored, self.z, np.nan))
        low, high = np.nanmin(strength, axis=1, keepdims=True), np.nanmax(strength, axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.nan_to_num(((strength - low) / (high - low)) ** 2)
            weight = weight / weight.sum(axis=1, keepdims=True)
        error, top = (self.y_hat - self.y) ** 2, first(np.abs(self.z), self.scored, 20)
        everywhere = np.ones_like(self.w)
        best = np.zeros_like(self.w)
        np.put_along_axis(best, self.truth.top[:, :20], 1.0, axis=1)
        fifty = np.zeros_like(self.w)
        np.put_along_axis(fifty, self.truth.top, 1.0, axis=1)
        mine, true = self.y_hat - self.truth.c_all, self.y - self.truth.c_all

        def explained(true: Floats, predicted: Floats, w: Floats) -> Floats:
            with np.errstate(divide="ignore", invalid="ignore"):
                left = (w * (true - predicted) ** 2).sum(axis=1)
                return np.asarray(1.0 - left / (w.sum(axis=1) * deviation(true, w) ** 2))

        return {
            "wmse": (error * weight).sum(axis=1),
            "top20_de_mse": (error * top).sum(axis=1) / 20.0,
            "r2": explained(self.y, self.y_hat, self.w),
            "r2_delta": np.where(self.flat, np.nan, explained(self.d, self.d_hat, self.w)),
            "gears_mse": error.mean(axis=1),
            "gears_mse_de": (error * best).sum(axis=1) / best.sum(axis=1),
            "gears_pearson": np.nan_to_num(correlation(self.y_hat, self.y, everywhere)),
            "gears_pearson_de": np.nan_to_num(correlation(self.y_hat, self.y, best)),
            "gears_pearson_delta": np.nan_to_num(correlation(mine, true, everywhere)),
            "gears_pearson_delta_de": np.nan_to_num(correlation(mine, true, best)),
            "legacy_cell_mse": error.mean(axis=1) + self.truth.spread,
            "legacy_r2_top50": explained(self.y, self.y_hat, fifty),
        }

    @cached_property
    def interactions(self) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Units of the crossed block, and what contexts do to them beyond the rest, predicted and true."""
        rows = block(self.truth.context, self.truth.perturbation)
        genes = self.truth.expressed & ~self.truth.targets.any(axis=0)
        if not rows.size:
            return rows.ravel(), np.zeros((0, len(genes))), np.zeros((0, len(genes)))
        return rows.ravel(), interactions(self.d_hat[:, genes], rows), interactions(self.d[:, genes], rows)

    def interaction(self) -> dict[str, Floats]:
        """Whether a prediction knows how contexts differ."""
        out, undefined = np.full(len(self.d), np.nan), np.ones(len(self.d), dtype=np.bool_)
        rows, mine, true = self.interactions
        if len(rows):
            r = correlation(mine, true, np.ones(mine.shape))
            out[rows] = np.where(mine.std(axis=1) > self.noise[rows], r, np.nan)
            undefined[rows] = ~(true.std(axis=1) > self.true_noise[rows])
        return {"interaction_r": self._settled(out, undefined, 0.0)}

    @cached_property
    def claimed(self) -> Floats:
        """What is predicted of combinations beyond their singles ``[D, G]``."""
        return self.truth.beyond.claimed(self.d_hat[self.truth.beyond.sums.units])

    def epistasis(self, kept: bool) -> Floats:
        """Whether it is right, by singles that are kept from all models or by halves of the train ones ``[T]``."""
        out, undefined = np.full(len(self.d), np.nan), np.ones(len(self.d), dtype=np.bool_)
        beyond, resolved = self.truth.beyond, self.truth.resolved[int(kept)]
        if not resolved.any():
            return out
        rows = beyond.sums.units
        d, w = self.d[rows], self.w[rows]
        true = [("kept", "whole")] if kept else [("first", "second"), ("second", "first")]
        moves = [deviation(beyond.done(d, *way), w) > self.true_noise[rows] for way in true]
        undefined[rows] = ~(resolved & np.all(moves, axis=0))
        r = (beyond.by_kept if kept else beyond.by_train)(d, self.d_hat[rows])
        out[rows] = np.where(deviation(self.claimed, w) > self.noise[rows], r, np.nan)
        return self._settled(out, undefined, 0.0)

    def signed_precision(self, k: int = 50) -> Floats:
        """Average precision at k of genes by predicted size, ties in random order ``[T]``.

        A hit is among the k of largest abs z, and its direction is right. The value is a sum over hits i, and over hits
        j before it, of the expectation of 1 / place of i, where that is among the first k.
        """
        out, n = np.full(len(self.d), np.nan), self.scored.sum(axis=1)
        right = np.maximum(self.calls * first(np.abs(self.z), self.scored, k) * np.sign(self.z), 0.0)
        for t in np.flatnonzero(n >= k).tolist():
            mine = self.scored[t]
            _, level, count = np.unique(-self.steps[t, mine], return_inverse=True, return_counts=True)
            begin, place = np.cumsum(count) - count, np.arange(1, n[t] + 1)
            share = np.where(place <= k, 1.0 / place, 0.0)
            alone = np.add.reduceat(share, begin) / count  # mean of 1 / place over the places of a tie
            ahead = np.add.reduceat(share * (place - 1 - np.repeat(begin, count)), begin)
            within = ahead / np.maximum(count * (count - 1.0), 1.0)  # the same where another of the tie comes before
            hit, at = right[t, mine], level
            hit, at = hit[hit > 0], at[hit > 0]
            weight = np.where(
                at[:, None] > at, alone[at][:, None], np.where(at[:, None] == at, within[at][:, None], 0.0)
            )
            np.fill_diagonal(weight, 0.0)
            out[t] = (hit @ alone[at] + hit @ weight @ hit) / k
        g, places = np.maximum(n, 2)[:, None], np.arange(1, k + 1)
        one = k / 2.0 / g  # half of k hits lie anywhere
        luck = ((one + (places - 1) * one * (k / 2.0 - 1.0) / (g - 1.0)) / places).sum(axis=1) / k
        return self._settled(out, n < k, luck)

    def identity(self, rows: NDArray[np.int64], centred: bool = True) -> Floats:
        """Share of the other units of the same context and stratum that each is told from.

        Args:
            rows: Units of the gallery ``[n]``; values are in their order.
            centred: On the mean shift of the train units, or on no shift.
        """
        return self.contests(rows, centred)[0]

    def contests(
        self, rows: NDArray[np.int64], centred: bool = True, none: Bools | None = None
    ) -> tuple[Floats, Floats]:
        """The same, and the share of the others that are told from each, less its mean over the gallery.

        The second is what a unit moves the mean of the first by beyond its own value.

        Args:
            rows: As of :meth:`identity`.
            centred: Likewise.
            none: Units of the task whose prediction is to count as none, beside those that tell no gene from another
                ``[T]``.
        """
        out, moved = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        centre = self.truth.train_delta if centred else np.zeros(self.d.shape[1])
        key = list(zip(self.truth.context[rows].tolist(), self.truth.stratum[rows].tolist(), strict=True))
        for one in sorted(set(key)):
            at = np.array([i for i, each in enumerate(key) if each == one])
            mine = rows[at]
            if len(mine) < GALLERY:
                continue
            genes = self.truth.expressed & ~self.truth.targets[mine].any(axis=0)
            u, v = (np.where(genes, shift[mine] - centre, 0.0) for shift in (self.d_hat, self.d))
            lost = (np.abs(u).max(axis=1) <= self.noise[mine]) | self.degenerate[mine]
            if none is not None:
                lost |= none[mine]
            nowhere = np.abs(v).max(axis=1) <= self.true_noise[mine]
            with np.errstate(divide="ignore", invalid="ignore"):
                cosine = (u / np.linalg.norm(u, axis=1)[:, None]) @ (v / np.linalg.norm(v, axis=1)[:, None]).T
            own = np.diag(cosine)[:, None]
            won = (cosine < own - TIE) + 0.5 * (np.abs(cosine - own) <= TIE)
            won[:, nowhere], won[nowhere], won[lost] = 0.5, 0.5, 0.5
            np.fill_diagonal(won, 0.0)
            out[at] = np.where(lost, 0.5, won.sum(axis=1) / (len(mine) - 1))
            seen = won.sum(axis=0) / (len(mine) - 1)
            moved[at] = seen - seen.mean()
        return out, moved


def everything(truth: Truth, d_hat: Floats) -> dict[str, Floats]:
    """Every metric that is computed a second time, over all units ``[T]``."""
    whole, rows = Scores(truth, d_hat), np.arange(len(d_hat))
    return {
        **whole.families(),
        **whole.pattern(),
        "discrimination_raw": whole.identity(rows, centred=False),
        **whole.size(),
        **whole.de(),
        **whole.fit(),
        **whole.interaction(),
        "epistasis_r": whole.epistasis(kept=False),
        "signed_ap@50": whole.signed_precision(),
    }


#: Metrics that stand for families: skill is made from them.
FAMILIES = ("pearson_delta", "discrimination", "shift_ratio", "signed_rank_z", "epistasis_kept_r")


def on_halves(truth: Truth, d_hat: Callable[[int], Floats]) -> dict[str, Floats]:
    """The metrics of families against halves of the cells: means over the halves that have a value ``[T]``.

    Args:
        truth: Of the task.
        d_hat: What is predicted of a half (1 to 10): for a row always the same, for a replicate its other half.
    """
    parts: dict[str, list[Floats]] = {name: [] for name in FAMILIES}
    before: Scores | None = None
    for half in range(1, len(truth.y)):
        scores = Scores(truth, d_hat(half), half)
        if before is not None and before.d_hat is scores.d_hat:
            scores.signed = before.signed
        before = scores
        for name, values in scores.families().items():
            parts[name].append(values)
    out = {}
    for name, found in parts.items():
        block = np.stack(found)
        known = np.isfinite(block)
        n = known.sum(axis=0)
        out[name] = np.where(n > 0, np.where(known, block, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
    return out


def identity_on_halves(
    truth: Truth, d_hat: Callable[[int], Floats], galleries: list[NDArray[np.int64]]
) -> list[Floats]:
    """Identity of the units of each gallery among themselves, mean over halves ``[n]``.

    Args:
        truth: Of the task.
        d_hat: As of :func:`on_halves`.
        galleries: Units of each.
    """
    halves = [Scores(truth, d_hat(half), half) for half in range(1, len(truth.y))] if galleries else []
    return [np.asarray(np.mean([half.identity(rows) for half in halves], axis=0)) for rows in galleries]


def complement(half: int) -> int:
    """The other half of the same halving: 1 and 2, 3 and 4, and so on."""
    return half + 1 if half % 2 else half - 1
