"""Rows of screens whose true latents are known, a second time: those that follow from cells and seeds alone.

Principal components, a ridge on the true latents, a look-up, a rotation and noise are computed here in numpy; sparse
components are scikit-learn's in both implementations. Independent components are left out: their fit does not end
within its steps, and where it stands then is decided by rounding (on other kernels a mean correlation moves by .04).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Cells that rows are fitted on, at most; of sparse components fewer.
CELLS, SPARSE_CELLS = 10_000, 1_000
#: Rows that are computed here.
ROWS = ("true_regression", "pca", "sparse_pca", "look_up", "random_rotation", "noise")
#: A graph's edge is at least so large, in units of the latents' scales.
EDGE = 0.25
#: Shrinkage of the discriminant, ridge of a linear reading as a share of its cells, and what is constant.
SHRINKAGE, RIDGE, CONSTANT = 1e-3, 1e-4, 1e-7


@dataclass(frozen=True, eq=False)
class Screen:
    """A screen, its truth, and which cells are learned from.

    Attributes:
        x: Expression of all cells ``[cells, G]``, CSR.
        code: Condition of each: singles first, then doubles, the control last ``[cells]``.
        z_v: True latents that perturbations move ``[cells, D]``.
        z_i: Those that they leave alone ``[cells, E]``.
        held: Cells to judge by ``[N]``.
        half: Those of them that latents are matched on ``[N]``.
        learned: Cells of singles and controls that are learned from.
        mask: Which latents each single hits ``[P, D]``.
        graph: Weights (effect, cause) ``[D, D]``.
        pairs: The two singles of each double ``[doubles, 2]``.
    """

    x: Any
    code: Codes
    z_v: Floats
    z_i: Floats
    held: Codes
    half: Bools
    learned: Codes
    mask: Bools
    graph: Floats
    pairs: Codes

    @property
    def width(self) -> int:
        """True latents in all."""
        return int(self.z_v.shape[1] + self.z_i.shape[1])


@dataclass(frozen=True, eq=False)
class Found:
    """Latents of the held cells ``[N, d]``, those of the invariant block, and a graph, where a row has them."""

    z: Floats
    invariant: Floats | None = None
    graph: Floats | None = None


def latents(name: str, screen: Screen, seed: int) -> Found:
    """The latents of a row.

    Args:
        name: One of :data:`ROWS`.
        screen: The screen.
        seed: The row's training seed.
    """
    held = screen.held
    if name == "noise":
        drawn = np.random.default_rng([seed, 0x01]).standard_normal((len(held), screen.width))
        return Found(drawn, graph=np.zeros((screen.width, screen.width)))
    if name == "random_rotation":
        d = screen.z_v.shape[1]
        q, r = np.linalg.qr(np.random.default_rng([seed, 0x07]).standard_normal((d, d)))
        turned = screen.z_v[held] @ (q * np.sign(np.diag(r)))
        return Found(turned, screen.z_i[held] if screen.z_i.shape[1] else None)
    if name == "look_up":
        control = int(screen.code.max())
        known = [c for c in range(control + 1) if c < len(screen.mask) or c == control]
        means = np.zeros((control + 1, screen.z_v.shape[1]))
        for c in known:
            means[c] = screen.z_v[screen.code == c].mean(axis=0)
        return Found(means[screen.code[held]])
    most = SPARSE_CELLS if name == "sparse_pca" else CELLS
    order = np.random.default_rng([seed, 0x5E]).permutation(screen.learned)
    rows = np.sort(order[:most])
    x, asked = (np.asarray(screen.x[at].toarray(), dtype=np.float64) for at in (rows, held))
    centre = x.mean(axis=0)
    if name == "pca":
        axes = np.linalg.svd(x - centre, full_matrices=False)[2][: screen.width]
        return Found((asked - centre) @ axes.T)
    if name == "true_regression":
        told = np.hstack([screen.z_v, screen.z_i])[rows]
        gram = (x - centre).T @ (x - centre) + np.eye(x.shape[1])
        weights = np.linalg.solve(gram, (x - centre).T @ (told - told.mean(axis=0)))
        said = (asked - centre) @ weights + told.mean(axis=0)
        d = screen.z_v.shape[1]
        return Found(said[:, :d], said[:, d:] if screen.z_i.shape[1] else None)
    return Found(_sparse(x, asked, screen.width, seed))


def _sparse(x: Floats, asked: Floats, width: int, seed: int) -> Floats:
    from sklearn.decomposition import MiniBatchSparsePCA

    model = MiniBatchSparsePCA(width, alpha=1.0, batch_size=64, max_iter=20, method="cd", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: the row is what these steps give
        return np.asarray(model.fit(x).transform(asked), dtype=np.float64)


def numbers(screen: Screen, found: Found) -> dict[str, float]:
    """Every number of a row; NaN where there is no such thing."""
    z, half = found.z, screen.half
    true, back, code = screen.z_v[screen.held], screen.z_i[screen.held], screen.code[screen.held]
    own, centred = (without_means(each, 2 * code + half) for each in (z, true))
    split = found.invariant is not None
    block = z if found.invariant is None else found.invariant
    known = np.nan
    return {
        "mcc_within": mcc(centred, own, half),
        "mcc_pooled": mcc(true, z, half),
        "mcc_within_spearman": mcc(ranks(centred), ranks(own), half),
        "mcc_pooled_spearman": mcc(ranks(true), ranks(z), half),
        "width": float(z.shape[1] + (0 if found.invariant is None else found.invariant.shape[1])),
        "r2_i": explained(block, back, half),
        "r2_v": explained(z, true, half),
        "leak_v": explained(block, true, half) if split else known,
        "leak_i": explained(z, back, half) if split else known,
        "label_i": told_apart(block, code, half) if split else known,
        "label_v": told_apart(z, code, half),
        **_structure(screen, found, code),
    }


def _matched(true: Floats, z: Floats) -> tuple[Codes, Codes, Floats]:
    """Columns of the truth, their partners, and signs."""
    r = _correlations(true, z)
    a, b = linear_sum_assignment(np.abs(r), maximize=True)
    return a, b, np.where(r[a, b] < 0, -1.0, 1.0)


def _correlations(a: Floats, b: Floats) -> Floats:
    parts = []
    for each in (a, b):
        off = each - each.mean(axis=0)
        sd = np.sqrt((off**2).mean(axis=0))
        varies = sd > CONSTANT * np.maximum(np.abs(each).max(axis=0), 1e-30)
        parts.append(np.where(varies, off / np.where(varies, sd, 1.0), 0.0))
    return np.asarray(parts[0].T @ parts[1] / len(a))


def mcc(true: Floats, z: Floats, half: Bools) -> float:
    """Mean signed correlation of true latents with their partners, matched on ``half`` of the cells."""
    a, b, sign = _matched(true[half], z[half])
    return float((sign * _correlations(true[~half], z[~half])[a, b]).sum() / true.shape[1])


def without_means(a: Floats, group: Codes) -> Floats:
    """Columns ``[N, D]`` less the mean of each group ``[N]``."""
    out = a.copy()
    for one in np.unique(group):
        out[group == one] -= a[group == one].mean(axis=0)
    return out


def ranks(a: Floats) -> Floats:
    """Average ranks of each column."""
    out = np.empty(a.shape)
    for j in range(a.shape[1]):
        _, place, count = np.unique(a[:, j], return_inverse=True, return_counts=True)
        out[:, j] = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return out


def _scaled(z: Floats, half: Bools) -> Floats:
    centre, sd = z[half].mean(axis=0), z[half].std(axis=0)
    varies = sd > CONSTANT * np.maximum(np.abs(z[half]).max(axis=0), 1e-30)
    return np.where(varies, (z - centre) / np.where(varies, sd, 1.0), 0.0)


def explained(source: Floats, target: Floats, half: Bools) -> float:
    """Mean R2 of a linear reading of some latents from others, on cells that it was not fitted on."""
    if not target.shape[1]:
        return float("nan")
    x = _scaled(source, half)
    a, y = x[half], target[half]
    gram = (a - a.mean(axis=0)).T @ (a - a.mean(axis=0)) + RIDGE * half.sum() * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (a - a.mean(axis=0)).T @ (y - y.mean(axis=0)))
    said = (x[~half] - a.mean(axis=0)) @ weights + y.mean(axis=0)
    left = ((target[~half] - said) ** 2).sum(axis=0)
    return float((1 - left / ((target[~half] - target[~half].mean(axis=0)) ** 2).sum(axis=0)).mean())


def told_apart(z: Floats, code: Codes, half: Bools) -> float:
    """Balanced accuracy of a linear discriminant, less chance, over 1 less chance."""
    x = _scaled(z, half)
    x = x[:, x[half].std(axis=0) > 0]
    if not x.shape[1]:
        return 0.0
    names, y = np.unique(code[half], return_inverse=True)
    means = np.stack([x[half][y == k].mean(axis=0) for k in range(len(names))])
    share = np.bincount(y) / len(y)
    spread = np.zeros((x.shape[1], x.shape[1]))
    for k in range(len(names)):
        off = x[half][y == k] - means[k]
        own = off.T @ off / len(off)
        spread += share[k] * ((1 - SHRINKAGE) * own + SHRINKAGE * np.trace(own) / len(own) * np.eye(len(own)))
    weights = np.linalg.lstsq(spread, means.T, rcond=None)[0]
    scores = x[~half] @ weights - 0.5 * (means.T * weights).sum(axis=0) + np.log(share)
    guess, asked = names[scores.argmax(axis=1)], code[~half]
    right = np.mean([(guess[asked == one] == one).mean() for one in np.unique(asked)])
    chance = 1 / len(np.unique(asked))
    return float((right - chance) / (1 - chance))


def _structure(screen: Screen, found: Found, code: Codes) -> dict[str, float]:
    """Masks, causes and doubles, by the matching of pooled latents."""
    half, p = screen.half, len(screen.mask)
    true, partner, _ = _matched(screen.z_v[screen.held][half], found.z[half])
    control = int(screen.code.max())

    def moved(z: Floats, of: Codes) -> Floats:
        at_rest = z[of == control].mean(axis=0)
        return np.stack([z[of == c].mean(axis=0) - at_rest for c in range(p)])

    fitted, judged = moved(found.z[half], code[half]), moved(found.z[~half], code[~half])
    sizes = np.zeros(screen.mask.shape)
    sizes[:, true] = np.abs(judged[:, partner]) / np.maximum(np.abs(judged[:, partner]).max(axis=0), 1e-30)
    out = {"mask_f1": masks(screen.mask, sizes), "shd": np.nan, "double_error": np.nan}
    if found.graph is not None:
        d = len(screen.graph)
        said = np.zeros((d, d), dtype=np.bool_)
        said[np.ix_(true, true)] = np.abs(found.graph[np.ix_(partner, partner)]) > EDGE
        there = screen.graph != 0
        wrong = [(i, j) for i in range(d) for j in range(i) if (said[i, j], said[j, i]) != (there[i, j], there[j, i])]
        out["shd"] = float(len(wrong))
    if len(screen.pairs):
        at_rest = screen.z_v[screen.code == control].mean(axis=0)
        each = [screen.z_v[screen.code == c].mean(axis=0) - at_rest for c in range(p + len(screen.pairs))]
        singles, doubles = np.stack(each[:p]), np.stack(each[p:])
        x, y = fitted[:, partner], singles[:, true]
        worth = (x * y).sum(axis=0) / np.maximum((x**2).sum(axis=0), 1e-30)
        predicted = np.zeros(doubles.shape)
        predicted[:, true] = worth * judged[screen.pairs].sum(axis=1)[:, partner]
        out["double_error"] = float(np.sqrt(((predicted - doubles) ** 2).sum() / (doubles**2).sum()))
    return out


def masks(true: Bools, sizes: Floats) -> float:
    """F1 of masks at the threshold that is best on the other half of the perturbations."""

    def f1(a: Bools, b: Bools) -> float:
        hits = (a & b).sum()
        return 1.0 if not (a | b).any() else float(2 * hits / (a.sum() + b.sum()))

    if len(true) < 4:
        return f1(true, sizes > 0.5)
    even = np.arange(len(true)) % 2 == 0
    grid, judged = np.linspace(0.02, 0.98, 49), []
    for part in (even, ~even):
        levels = np.array([f1(true[part], sizes[part] > t) for t in grid])
        best = float(np.median(grid[levels >= levels.max() - 1e-12]))
        judged.append(f1(true[~part], sizes[~part] > best))
    return float(np.mean(judged))
