"""Numbers of a row of known latents from the moments that are kept of it, and what moments of any latents must obey.

The true latents' own means, variances and ranks are those of the screen, which was drawn again: the file says nothing
of them. What is kept, and in which units: ``bench/tracks/identifiability/kept.py``.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.audit.second.kept import digest
from bench.audit.second.known import RIDGE, Floats, Screen, masks, ranks, without_means

Arrays = dict[str, NDArray[np.int32]]
#: What correlates, in the order in which matchings are kept.
KINDS = ("within", "pooled", "within_spearman", "pooled_spearman")
#: Numbers that need single cells: a discriminant names each by itself.
OF_CELLS = ("label_i", "label_v")
#: Whole numbers that stand for 1.
FACTOR, CROSS, R, MOMENT, SHARE, SHIFT, EDGES = 16384, 1024, 1024, 2048, 4096, 500, 16
#: What rounding may do to a correlation, to a covariance in units of two SDs, and to an eigenvalue of these.
ROUNDED, CONSISTENT, NEGATIVE = 2e-3, 4e-3, 2e-2


class Kept(NamedTuple):
    """What a file holds, by run id: arrays, and a digest."""

    runs: dict[str, Arrays]
    digests: dict[str, str]


class Wrong(ValueError):
    """Moments that no latents of this screen have; a sentence says why."""


def read(blob: bytes) -> Kept:
    """Read the bytes of a file.

    Raises:
        ValueError: Damaged: a member is missing, cut short, or does not fit the others.
    """
    try:
        with io.BytesIO(blob) as handle, np.load(handle, allow_pickle=False) as file:
            runs, names, shapes, planes = (file[name] for name in ("runs", "names", "shapes", "numbers"))
        folded = sum(planes[i].astype(np.int64) << (8 * i) for i in range(4))
        whole = np.where(folded % 2 == 1, -(folded + 1) // 2, folded // 2).astype(np.int32)
        found: dict[str, Arrays] = {str(run): {} for run in runs}
        begin = 0
        for a, name in enumerate(names.tolist()):
            for k, run in enumerate(found):
                if (axes := int(shapes[k, a, 0])) >= 0:
                    shape = tuple(int(n) for n in shapes[k, a, 1 : 1 + axes])
                    end = begin + int(np.prod(shape))
                    found[run][name] = whole[begin:end].reshape(shape)
                    begin = end
        if begin != len(whole) or len(found) != len(runs):
            raise ValueError("its parts do not fit together")
    except Exception as error:  # zip, lzma and numpy raise a dozen kinds for damaged files
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    digests = {}
    for run, arrays in found.items():
        order = sorted(arrays)
        digests[run] = digest(np.array(order, dtype=np.str_), *(arrays[name] for name in order))
    return Kept(found, digests)


class _Truth(NamedTuple):
    """True latents of the held cells, and of what they are asked: cells matched on, then those judged by."""

    singles: int
    v: Floats
    both: Floats
    code: NDArray[np.int64]
    rows: tuple[NDArray[np.bool_], NDArray[np.bool_]]


class _Block(NamedTuple):
    """A block of latents: ``x = u factor'``; mean and covariance of u among cells judged by; u with true latents."""

    factor: Floats
    mean: Floats
    second: Floats
    cross: Floats


def numbers(screen: Screen, kept: Arrays) -> dict[str, float]:
    """Every number of a row but :data:`OF_CELLS`.

    Args:
        screen: The screen, drawn again.
        kept: Of the row.

    Raises:
        Wrong: Moments that latents of this screen cannot have.
    """
    held, half = screen.held, screen.half
    v, back = screen.z_v[held], screen.z_i[held]
    truth = _Truth(len(screen.mask), v, np.hstack([v, back]), screen.code[held], (half, ~half))
    z = _block(kept, "z", truth)
    split = "invariant_factor" in kept
    block = _block(kept, "invariant", truth) if split else z
    d, width = v.shape[1], len(z.factor)
    r = _correlations(kept, z, truth)
    matched = {kind: _partners(kept["matched"][k], r[kind][0], kind) for k, kind in enumerate(KINDS)}
    _totals(kept, z, truth, r)
    known = np.nan
    found = {}
    for kind, (true, partner, sign) in matched.items():
        found[f"mcc_{kind}"] = float((sign * r[kind][1][partner, true]).sum() / d)
    of_v, of_i = np.arange(d), np.arange(d, truth.both.shape[1])
    found |= {
        "width": float(width + (len(block.factor) if split else 0)),
        "r2_i": _explained(block, truth, of_i),
        "r2_v": _explained(z, truth, of_v),
        "leak_v": _explained(block, truth, of_v) if split else known,
        "leak_i": _explained(z, truth, of_i) if split else known,
    }
    return found | _structure(screen, kept, *matched["pooled"][:2])


def _shaped(kept: Arrays, name: str, shape: tuple[int, ...]) -> Floats:
    if name not in kept:
        raise Wrong(f"its '{name}' is not there")
    if kept[name].shape != shape:
        raise Wrong(f"its '{name}' has the shape {kept[name].shape}, and this screen's is {shape}")
    return kept[name].astype(np.float64)


def _block(kept: Arrays, name: str, truth: _Truth) -> _Block:
    """A block, whole.

    Raises:
        Wrong: It is no block of these cells' latents.
    """
    mean = kept.get(f"{name}_mean")
    if mean is None or mean.ndim != 1:
        raise Wrong(f"its '{name}_mean' is not there")
    w, t = len(mean), truth.both.shape[1]
    at = np.tril_indices(w)
    factor, second = np.zeros((w, w)), np.zeros((w, w))
    factor[at] = _shaped(kept, f"{name}_factor", (len(at[0]),)) / FACTOR
    second[at] = _shaped(kept, f"{name}_second", (len(at[0]),)) / MOMENT
    second += np.tril(second, -1).T + np.eye(w)
    found = _Block(factor, mean / MOMENT, second, _shaped(kept, f"{name}_cross", (2, w, t)) / CROSS)
    size = np.sqrt((factor**2).sum(axis=1))
    if (np.diag(factor) < 0).any() or (np.minimum(np.abs(size), np.abs(size - 1)) > ROUNDED).any():
        raise Wrong(f"latents of '{name}' are not in units of their SD")
    alive = np.diag(factor) > 0
    for i, which in enumerate(("matched on", "judged by")):
        own = np.diag(alive.astype(np.float64)) if i == 0 else second
        true = np.corrcoef(truth.both[truth.rows[i]], rowvar=False).reshape(t, t)
        joint = np.block([[own, found.cross[i]], [found.cross[i].T, true]])
        least = float(np.linalg.eigvalsh(joint)[0])
        if least < -NEGATIVE:
            raise Wrong(
                f"'{name}' and the true latents have no such covariances among cells {which}: an eigenvalue is "
                f"{least:.2g}"
            )
    return found


def _correlations(kept: Arrays, z: _Block, truth: _Truth) -> dict[str, Floats]:
    """Of latents and true ones, by kind ``[2, D, d_v]``.

    Raises:
        Wrong: Correlations that cannot be: true latents would explain more of one than there is.
    """
    d, w = truth.v.shape[1], len(z.factor)
    centred = without_means(truth.v, 2 * truth.code + truth.rows[0])
    true = {"within": centred, "within_spearman": ranks(centred), "pooled_spearman": ranks(truth.v)}
    stated = _shaped(kept, "r", (3, 2, w, d)) / R
    out = {}
    for one, (kind, columns) in zip(stated, true.items(), strict=True):
        for r, rows in zip(one, truth.rows, strict=True):
            among = np.corrcoef(columns[rows], rowvar=False).reshape(d, d)
            share = ((r @ np.linalg.pinv(among, rcond=1e-6, hermitian=True)) * r).sum(axis=1)
            if (share > 1 + NEGATIVE).any():
                raise Wrong(f"true latents would explain {share.max():.3g} of the variance of a latent ({kind})")
        out[kind] = one
    seen = [np.sqrt((z.factor**2).sum(axis=1)), _spread(z)]
    pooled = [(z.factor @ z.cross[i][:, :d]) / np.where(sd > 1e-6, sd, np.inf)[:, None] for i, sd in enumerate(seen)]
    return {**out, "pooled": np.stack(pooled)}


def _spread(z: _Block) -> Floats:
    """SD of each latent among cells judged by, in units of that among the others."""
    return np.asarray(np.sqrt(np.maximum(((z.factor @ z.second) * z.factor).sum(axis=1), 0)))


def _partners(matched: NDArray[np.int32], r: Floats, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """True latents that have a partner, these, and signs.

    A matching is kept, as two that are nearly as good could change places by rounding; that it is one of the best is
    asked here.

    Raises:
        Wrong: It is not, or a latent is the partner of two.
    """
    true = np.flatnonzero(matched).astype(np.int64)
    partner = np.abs(matched[true]).astype(np.int64) - 1
    if len(set(partner.tolist())) < len(true) or (len(true) and partner.max() >= len(r)):
        raise Wrong(f"its matching ({kind}) is none")
    a, b = linear_sum_assignment(np.abs(r), maximize=True)
    best, own = float(np.abs(r)[a, b].sum()), float(np.abs(r)[partner, true].sum())
    sign = np.sign(matched[true]).astype(np.float64)
    if own < best - ROUNDED * len(a) or len(true) != len(a) or (sign * r[partner, true] < -ROUNDED).any():
        raise Wrong(
            f"its matching ({kind}) has a sum of correlations of {own:.4g}, and the best {best:.4g}, or other signs"
        )
    return true, partner, sign


def _totals(kept: Arrays, z: _Block, truth: _Truth, r: dict[str, Floats]) -> None:
    """Compare what is kept of all cells with what is kept within conditions and of their means.

    Raises:
        Wrong: They are not of the same latents.
    """
    p, w, control = truth.singles, len(z.factor), int(truth.code.max())
    shifts = _shaped(kept, "shifts", (len(kept["shifts"]), p, w))
    largest, within = _shaped(kept, "largest", (w,)) / SHARE, _shaped(kept, "within", (2, w)) / SHARE
    spread = _spread(z)
    # Shifts are in the units of cells judged by; halves are kept in the other order.
    for number, i in zip(range(len(shifts)), (1, 0), strict=False):
        rows = truth.rows[i]
        code, v = truth.code[rows], truth.v[rows]
        n = np.bincount(code, minlength=control + 1)[[*range(p), control]] / rows.sum()
        found = np.vstack([_unrounded(shifts[number]), np.zeros(w)]) * largest
        if i == 0:
            found = found * spread
        means = np.stack([v[code == c].mean(axis=0) for c in (*range(p), control)])
        found, means = found - n @ found, (means - n @ means) / v.std(axis=0)
        used = np.abs(shifts[number]).max(axis=0) > 0
        between = (found.T * n) @ found
        inside = without_means(v, code).std(axis=0) / v.std(axis=0)
        share = np.sqrt(np.maximum(within[i], 0))
        of_truth = r["pooled"][i] - r["within"][i] * share[:, None] * inside
        off = np.abs(1 - within[i] - np.diag(between))[used]
        across = np.abs(of_truth - (found.T * n) @ means)[used]
        if max(off.max(initial=0.0), across.max(initial=0.0)) > CONSISTENT:
            raise Wrong(
                f"means of conditions and what is left within them do not add up: variances are off by "
                f"{off.max(initial=0.0):.2g}, covariances with true latents by {across.max(initial=0.0):.2g}"
            )


def _unrounded(a: Floats) -> Floats:
    """Numbers that were rounded away from 0, in the middle of what they stand for."""
    return np.asarray(np.sign(a) * (np.abs(a) - 0.5) / SHIFT)


def _explained(block: _Block, truth: _Truth, of: NDArray[np.int64]) -> float:
    """Mean R2 of a linear reading of true latents, fitted on one half of the cells and judged by the other."""
    if not len(of):
        return float("nan")
    fitted, judged = (truth.both[rows][:, of] for rows in truth.rows)
    sd, own = fitted.std(axis=0), judged.std(axis=0)
    gram = block.factor @ block.factor.T + RIDGE * np.eye(len(block.factor))
    weights = block.factor.T @ np.linalg.solve(gram, block.factor @ (block.cross[0][:, of] * sd))
    off = judged.mean(axis=0) - fitted.mean(axis=0) - block.mean @ weights
    with_true = (block.cross[1][:, of] * own * weights).sum(axis=0)
    left = off**2 + own**2 - 2 * with_true + ((block.second @ weights) * weights).sum(axis=0)
    return float((1 - left / own**2).mean())


def _structure(screen: Screen, kept: Arrays, true: NDArray[np.int64], partner: NDArray[np.int64]) -> dict[str, float]:
    """Masks, causes and doubles, by the matching of pooled latents."""
    p, d = screen.mask.shape
    w = kept["shifts"].shape[2]
    judged = _unrounded(kept["shifts"][0].astype(np.float64))
    said = _unrounded(_shaped(kept, "effects", (p, w))) if "effects" in kept else np.abs(judged)
    sizes = np.zeros((p, d))
    sizes[:, true] = said[:, partner] / np.maximum(np.abs(said[:, partner]).max(axis=0), 1e-30)
    out = {"mask_f1": masks(screen.mask, sizes), "shd": np.nan, "double_error": np.nan}
    if "graph" in kept:
        graph = np.abs(_shaped(kept, "graph", (w, w))) > EDGES
        edges = np.zeros((d, d), dtype=np.bool_)
        edges[np.ix_(true, true)] = graph[np.ix_(partner, partner)]
        there = screen.graph != 0
        out["shd"] = float(
            sum((edges[i, j], edges[j, i]) != (there[i, j], there[j, i]) for i in range(d) for j in range(i))
        )
    if len(screen.pairs):
        fitted = _unrounded(_shaped(kept, "shifts", (2, p, w))[1])
        control = int(screen.code.max())
        rest = screen.z_v[screen.code == control].mean(axis=0)
        each = [screen.z_v[screen.code == c].mean(axis=0) - rest for c in range(p + len(screen.pairs))]
        singles, doubles = np.stack(each[:p])[:, true], np.stack(each[p:])
        x = fitted[:, partner]
        worth = (x * singles).sum(axis=0) / np.maximum((x**2).sum(axis=0), 1e-30)
        moved = judged[screen.pairs].sum(axis=1)
        if "doubles" in kept:
            moved = _unrounded(_shaped(kept, "doubles", (len(screen.pairs), w)))
        predicted = np.zeros(doubles.shape)
        predicted[:, true] = worth * moved[:, partner]
        out["double_error"] = float(np.sqrt(((predicted - doubles) ** 2).sum() / (doubles**2).sum()))
    return out
