"""What a data set shows of the assumptions under which latents can be identified: measured on expression, of any data.

The theory speaks of latents, which nobody has; what can be measured is what a perturbation does to expression. Each
number is freed of the noise of cells, as this alone makes effects dense, alike, and large: products of two means are
taken of disjoint cells, against disjoint controls (``d_p`` against *input*, ``d_q`` against *reference* controls), and
counts of changed genes are set against what one batch of controls would show against the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.controls import control_pools
from bench.data.dataset import Dataset

Rows = NDArray[np.int64]
#: Cells of a condition, or controls of a batch, that are needed to halve them.
MIN_CELLS = 20
#: Storey's lambda: above it, p values are those of genes that nothing changes.
_LAMBDA = 0.5
#: Sets of controls that stand in for perturbations.
_MOCK = 20


class Measured(NamedTuple):
    """One assumption.

    Attributes:
        assumption: What the theory asks for.
        value: What was measured.
        meaning: How it is read.
    """

    assumption: str
    value: float
    meaning: str


@dataclass(frozen=True)
class Halves:
    """Means of each perturbation from two disjoint halves of its cells, against disjoint controls.

    Attributes:
        a: Shift of the first half from input controls ``[P, G]``.
        b: Of the second from reference controls ``[P, G]``.
    """

    a: Floats
    b: Floats

    @property
    def products(self) -> Floats:
        """Inner products of the shifts of perturbations p and q ``[P, P]``, of disjoint cells and controls."""
        one = self.a @ self.b.T
        return np.asarray((one + one.T) / 2)

    @property
    def squares(self) -> Floats:
        """Squared size of each shift, unbiased ``[P]``: below 0 where there is none but noise."""
        return np.asarray(np.diag(self.products).copy())


def halves(dataset: Dataset, seed: int = 1) -> Halves:
    """Cut cells and controls in two; in several contexts, the one with most cells.

    Raises:
        BenchError: Fewer than two single perturbations with enough cells.
    """
    rng = np.random.default_rng([seed, 0xA5])
    context = int(np.bincount(dataset.context).argmax())
    controls, reference, names = _pools(dataset, context, seed)
    if len(names) < 2:
        raise BenchError(
            f"'{dataset.name}': {len(names)} single perturbations with {MIN_CELLS} cells in context "
            f"'{dataset.contexts[context]}': what perturbations have in common needs two or more."
        )
    centre = (_mean(dataset, controls), _mean(dataset, reference))
    parts: tuple[list[Floats], list[Floats]] = ([], [])
    for name in names:
        rows = rng.permutation(_cells(dataset, name, context))
        for half, of, c in zip((rows[::2], rows[1::2]), parts, centre, strict=True):
            of.append(_mean(dataset, half) - c)
    return Halves(np.stack(parts[0]), np.stack(parts[1]))


def _cells(dataset: Dataset, name: str, context: int) -> Rows:
    rows = dataset.cells_of[name]
    here: Rows = rows[dataset.context[rows] == context]
    return here


def _pools(dataset: Dataset, context: int, seed: int) -> tuple[Rows, Rows, list[str]]:
    """Input and reference controls of a context, and its single perturbations that have enough cells."""
    pools = control_pools(dataset, seed, 0)[:2]
    index, where = dataset.barcode_index, dataset.contexts[context]
    first, second = (np.array([index[b] for b in pool[where]], dtype=np.int64) for pool in pools)
    singles = [c for c in dataset.conditions if len(constituents(c)) == 1]
    return first, second, [c for c in singles if len(_cells(dataset, c, context)) >= MIN_CELLS]


def _mean(dataset: Dataset, rows: Rows) -> Floats:
    return np.asarray(dataset.x[rows].mean(axis=0), dtype=np.float64).ravel()


def mean_cosine(products: Floats) -> float:
    """Mean inner product of two different perturbations over the mean square of one: 0 = independent, 1 = all alike.

    Args:
        products: ``[P, P]``, unbiased.
    """
    n = len(products)
    square = float(np.trace(products)) / n
    other = (float(products.sum()) - float(np.trace(products))) / (n * (n - 1))
    return other / square if square > 0 else float("nan")


def effective_rank(products: Floats) -> float:
    """Directions among the shifts: (sum of eigenvalues)^2 over the sum of their squares.

    Args:
        products: ``[P, P]``, unbiased; what noise there is in their squares makes the rank smaller.
    """
    total = float((products**2).sum())
    return float(np.trace(products)) ** 2 / total if total > 0 else float("nan")


def latents_hit(cut: Halves, width: int) -> float:
    """Latents that a perturbation moves, in the axes in which this is least: participation, mean over perturbations.

    Axes: varimax (Kaiser 1958) of the leading directions of one half of the cells; both halves are then read in them,
    and squares are products of the halves. Where each perturbation moves k latents alike, it is k; for dense (Gaussian)
    effects about (D + 2) / 3.

    Args:
        cut: Shifts.
        width: Directions.
    """
    u, s, vt = np.linalg.svd(cut.a, full_matrices=False)
    turn = varimax(u[:, :width] * s[:width])
    squares = (cut.a @ vt[:width].T @ turn) * (cut.b @ vt[:width].T @ turn)
    size, spread = squares.sum(axis=1), (squares**2).sum(axis=1)
    clear = size > 0
    return float(np.mean(size[clear] ** 2 / spread[clear])) if clear.any() else float("nan")


def varimax(scores: Floats, steps: int = 200) -> Floats:
    """Rotation ``[D, D]`` after which squared scores ``[P, D]`` of a column differ most; Kaiser 1958."""
    n, width = scores.shape
    turn = np.eye(width)
    before = 0.0
    for _ in range(steps):
        turned = scores @ turn
        u, s, vt = np.linalg.svd(scores.T @ (turned**3 - turned * (turned**2).sum(axis=0) / n))
        turn = u @ vt
        if float(s.sum()) <= before * (1 + 1e-9):
            break
        before = float(s.sum())
    return np.asarray(turn)


def changed_share(z: Floats) -> float:
    """Share of genes that a perturbation changes: 1 less Storey's share of true nulls, by normal z values ``[G]``.

    Source: Storey 2002, lambda = .5; not cut at 0, so that its mean over null sets is 0.
    """
    p = 2 * norm.sf(np.abs(z[np.isfinite(z)]))
    return float(1 - (p > _LAMBDA).mean() / (1 - _LAMBDA)) if len(p) else float("nan")


def _z(dataset: Dataset, rows: Rows, others: Rows) -> Floats:
    """Difference of two means in standard errors ``[G]``; NaN for genes that fewer than 20 cells express."""
    a, b = (dataset.x[r] for r in (rows, others))
    means = [np.asarray(part.mean(axis=0), dtype=np.float64).ravel() for part in (a, b)]
    squares = [np.asarray(part.multiply(part).mean(axis=0), dtype=np.float64).ravel() for part in (a, b)]
    n = (len(rows), len(others))
    variance = sum((s - m**2) / (k - 1) for s, m, k in zip(squares, means, n, strict=True))
    # Genes that few cells express have few values, and p values that are none of a normal distribution.
    seen = sum(np.asarray((part > 0).sum(axis=0)).ravel() for part in (a, b))
    expressed = np.asarray(seen >= MIN_CELLS)
    return np.where(expressed, (means[0] - means[1]) / np.sqrt(np.maximum(variance, 1e-12)), np.nan)


def sparsity(dataset: Dataset, seed: int = 1) -> tuple[float, float]:
    """Share of genes that a perturbation changes, mean over perturbations, less the same of sets of controls.

    Returns:
        The share, and what the sets of controls show.
    """
    rng = np.random.default_rng([seed, 0x5A])
    context = int(np.bincount(dataset.context).argmax())
    *_, names = _pools(dataset, context, seed)
    controls = _cells(dataset, CONTROL, context)
    cells = [_cells(dataset, name, context) for name in names]
    real = [changed_share(_z(dataset, rows, controls)) for rows in cells]
    # Each set against all other controls, drawn anew: genes go together, so that one draw may look like an effect.
    n = min(int(np.median([len(rows) for rows in cells])), len(controls) // 2)
    orders = [rng.permutation(controls) for _ in range(_MOCK)]
    mock = [changed_share(_z(dataset, order[:n], order[n:])) for order in orders]
    return float(np.mean(real)), float(np.mean(mock))


def batch_square(dataset: Dataset) -> float:
    """Squared distance of a batch's controls from the mean batch, unbiased; NaN with fewer than two batches."""
    context = int(np.bincount(dataset.context).argmax())
    controls = _cells(dataset, CONTROL, context)
    groups = [controls[dataset.batch[controls] == b] for b in np.unique(dataset.batch[controls])]
    groups = [rows for rows in groups if len(rows) >= MIN_CELLS]
    if len(groups) < 2:
        return float("nan")
    means = np.stack([_mean(dataset, rows) for rows in groups])
    noise = np.array([_spread(dataset, rows) / len(rows) for rows in groups])
    # Between batches of B means: sum of squares over B - 1, of which the cells' own noise is the mean of noise.
    return float(((means - means.mean(axis=0)) ** 2).sum() / (len(groups) - 1) - noise.mean())


def _spread(dataset: Dataset, rows: Rows) -> float:
    """Total variance over genes of these cells."""
    x = dataset.x[rows].toarray().astype(np.float64)
    return float(x.var(axis=0, ddof=1).sum())


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def check(dataset: Dataset, latents: int = 0, seed: int = 1) -> pd.DataFrame:
    """Measure every assumption that data can show.

    Args:
        dataset: Any screen.
        latents: Latents that perturbations are to be separated into; 0 = as many as there are directions of effects.
        seed: Of the halves.

    Returns:
        Columns ``assumption``, ``value``, ``meaning``.

    Raises:
        BenchError: Fewer than two single perturbations with enough cells.
    """
    cut = halves(dataset, seed)
    products, squares = cut.products, cut.squares
    share, mock = sparsity(dataset, seed)
    response, rank = float(squares.mean()), effective_rank(products)
    batch = batch_square(dataset)
    context = int(np.bincount(dataset.context).argmax())
    background = _spread(dataset, _cells(dataset, CONTROL, context))
    clear = squares[squares > 0]
    d_v = latents or int(np.ceil(max(rank, 1))) if np.isfinite(rank) else latents
    n = len(squares)
    width = max(1, min(d_v, n - 1, len(dataset.genes)))
    hit = latents_hit(cut, width)
    found = [
        Measured("perturbations", n, f"singles with {MIN_CELLS} cells or more, in the largest context"),
        Measured(
            "directions", rank, "effective number of directions among their effects: latents that they can tell apart"
        ),
        Measured(
            "environments",
            n + 1,
            f"perturbations and controls; {d_v} latents need {d_v + 1}: "
            f"{'enough' if n + 1 >= d_v + 1 else 'too few, no claim can be made'}",
        ),
        Measured(
            "latents hit", hit, f"of {width} axes, turned so that it is least; dense effects: {(width + 2) / 3:.1f}"
        ),
        Measured("genes changed", share - mock, "share of genes that a perturbation changes, beyond sets of controls"),
        Measured("genes changed, controls", mock, "the same of sets of controls: 0 = the test is right"),
        Measured("dependence", mean_cosine(products), "mean cosine of two perturbations' effects; 0 = independent"),
        Measured("batch over effect", _over(batch, response), "squared size of a batch's shift over a perturbation's"),
        Measured(
            "background over effect",
            _over(background, response),
            "variance between control cells, counting noise too, over it",
        ),
        Measured("strength", np.sqrt(max(response, 0.0)), "root mean squared size of an effect, log expression"),
        Measured(
            "spread of strengths",
            float(np.log(clear).std() / 2) if len(clear) else np.nan,
            "SD of log sizes of those above noise; 0 = equal",
        ),
        Measured(
            "without effect", float((squares <= 0).mean()), "share of perturbations whose effect is not above noise"
        ),
    ]
    return pd.DataFrame([one._asdict() for one in found])
