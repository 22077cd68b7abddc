"""What the cells of a data set say about it, before any model: numpy, scipy and scikit-learn only.

Definitions follow the task: x = log1p(1e4 counts / ncounts), controls in two halves (input, reference), a
condition's truth d = its mean - mean of the reference controls, a prediction's shift is relative to the input
controls, perturbed genes are left out of their own condition. "Significant": Wilcoxon with tie correction
against the reference controls, BH 5%.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gears_lists import lists_of
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.decomposition import PCA  # type: ignore[import-untyped]
from sklearn.linear_model import Ridge  # type: ignore[import-untyped]

from bench.data.simulate.screens import Simulation

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def constituents(condition: str) -> list[str]:
    return [gene for gene in condition.split("+") if gene != "ctrl"]


@dataclass(frozen=True)
class Screen:
    """A data set as the statistics need it; rows of [conditions, genes] arrays are sorted condition names."""

    x: Floats  # [cells, genes]
    genes: list[str]
    conditions: list[str]
    cells: dict[str, Ints]  # rows of x by condition, in random order
    inputs: Ints
    reference: Ints
    expressed: Bools  # [genes], seen in >= 10 cells
    kept: Bools  # [conditions, genes], expressed and not perturbed in this condition
    means: Floats  # [conditions, genes]
    variances: Floats  # [conditions, genes], of a mean over the condition's cells

    @property
    def d(self) -> Floats:
        """True deltas [conditions, genes], 0 at genes that are not kept."""
        return np.where(self.kept, self.means - self.x[self.reference].mean(axis=0), 0.0)

    @property
    def control_variance(self) -> Floats:
        """Variance of the mean of the reference controls [genes]."""
        return np.asarray(self.x[self.reference].var(axis=0, ddof=1) / len(self.reference))


def screen(simulation: Simulation, seed: int = 0) -> Screen:
    rng = np.random.default_rng(seed)
    counts = simulation.counts.toarray()
    x = np.log1p(1e4 * counts / simulation.ncounts[:, None])
    names = [str(c) for c in np.unique(simulation.condition)]
    cells = {c: rng.permutation(np.flatnonzero(simulation.condition == c)) for c in names}
    controls = cells.pop("ctrl")
    half = len(controls) // 2
    conditions = sorted(cells)
    genes = [str(g) for g in simulation.genes]
    expressed = (counts > 0).sum(axis=0) >= 10
    own = np.array([[g in constituents(c) for g in genes] for c in conditions])
    means = np.stack([x[cells[c]].mean(axis=0) for c in conditions])
    variances = np.stack([x[cells[c]].var(axis=0, ddof=1) / len(cells[c]) for c in conditions])
    inputs, reference, kept = controls[:half], controls[half:], expressed & ~own
    return Screen(x, genes, conditions, cells, inputs, reference, expressed, kept, means, variances)


def correlation(a: Floats, b: Floats, kept: Bools) -> float:
    """Pearson over the kept genes; 0 for a constant prediction (its registered chance value)."""
    a, b = a[kept], b[kept]
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0


def signal_to_noise(s: Screen) -> tuple[Floats, Floats]:
    """Signal (squared norm of d less its expected noise) and noise (of its mean), each [conditions]."""
    noise = (s.variances * s.kept).sum(axis=1)
    control_noise = (s.control_variance * s.kept).sum(axis=1)
    return (s.d**2).sum(axis=1) - noise - control_noise, noise


def significant_genes(s: Screen, every: int = 1) -> Ints:
    """Number of significant genes of every `every`-th condition."""
    reference = s.x[s.reference]
    found = []
    for i in range(0, len(s.conditions), every):
        own = s.x[s.cells[s.conditions[i]]][:, s.kept[i]]
        control = reference[:, s.kept[i]]
        p = mannwhitneyu(own, control, method="asymptotic", use_continuity=False, axis=0).pvalue
        found.append(int((false_discovery_control(np.nan_to_num(p, nan=1.0)) < 0.05).sum()))
    return np.array(found, dtype=np.int64)


def top5_share(s: Screen) -> Floats:
    """Share of the squared norm of d in its five largest genes [conditions]."""
    squares = np.sort(s.d**2, axis=1)
    return np.asarray(squares[:, -5:].sum(axis=1) / squares.sum(axis=1))


def systematic_share(s: Screen) -> float:
    """Mean <d_p, d_q> over p != q, less the variance of the shared reference, over the mean signal."""
    d, n = s.d, len(s.conditions)
    cross = (d.sum(axis=0) ** 2).sum() - (d**2).sum()
    shared = s.kept.astype(float) * s.control_variance
    shared_noise = (shared.sum(axis=0) * s.kept.sum(axis=0)).sum() - shared.sum()
    signal, _ = signal_to_noise(s)
    return float((cross - shared_noise) / (n * (n - 1)) / signal.mean())


def replicate_pearson(s: Screen) -> Floats:
    """Half the cells (less input controls) against the other (less reference controls) [conditions]."""
    c_in, c_ref = s.x[s.inputs].mean(axis=0), s.x[s.reference].mean(axis=0)
    values = []
    for c, kept in zip(s.conditions, s.kept, strict=True):
        a, b = np.array_split(s.cells[c], 2)
        values.append(correlation(s.x[a].mean(axis=0) - c_in, s.x[b].mean(axis=0) - c_ref, kept))
    return np.array(values)


@dataclass(frozen=True)
class Split:
    train: list[str]
    val: list[str]
    test: dict[str, list[str]]  # by subgroup, relabelled against the final train set


def gears_split(conditions: Sequence[str], seed: int) -> Split:
    """The GEARS `simulation` split of sorted condition names."""
    part = lists_of(conditions, "simulation", seed)
    train = part["train"]
    single_in_train = {constituents(c)[0] for c in train if len(constituents(c)) == 1}
    names = ("unseen_single", "combo_seen0", "combo_seen1", "combo_seen2")
    test: dict[str, list[str]] = {name: [] for name in names}
    for c in part["test"]:
        genes = constituents(c)
        seen = sum(g in single_in_train for g in genes)
        test["unseen_single" if len(genes) == 1 else f"combo_seen{seen}"].append(c)
    return Split(train, part["val"], test)


def ridge_shifts(s: Screen, split: Split, features: Floats, test: list[str]) -> Floats:
    """Shifts [test, genes]: ridge from summed features of the perturbed genes to centred train deltas.

    Five folds of train conditions choose the penalty. Features [genes, k] are scaled to unit mean square.
    """
    features = features / np.sqrt((features**2).mean(axis=0) + 1e-12)
    row = {c: i for i, c in enumerate(s.conditions)}
    at = {g: i for i, g in enumerate(s.genes)}
    c_in = s.x[s.inputs].mean(axis=0)

    def inputs(conditions: list[str]) -> Floats:
        return np.stack([features[[at[g] for g in constituents(c)]].sum(axis=0) for c in conditions])

    f, y = inputs(split.train), s.means[[row[c] for c in split.train]] - c_in
    fold = np.random.default_rng(0).permutation(len(y)) % 5
    penalties = np.logspace(-2, 5, 15)
    errors = np.zeros(len(penalties))
    for k in range(5):
        fit, held = fold != k, fold == k
        for j, penalty in enumerate(penalties):
            errors[j] += ((Ridge(alpha=penalty).fit(f[fit], y[fit]).predict(f[held]) - y[held]) ** 2).sum()
    best = Ridge(alpha=penalties[errors.argmin()]).fit(f, y)
    return np.asarray(best.predict(inputs(test)), dtype=np.float64)


def train_mean_shift(s: Screen, split: Split) -> Floats:
    rows = [s.conditions.index(c) for c in split.train]
    return np.asarray(s.means[rows].mean(axis=0) - s.x[s.inputs].mean(axis=0))


def headroom_z(s: Screen, splits: Sequence[Split]) -> float:
    """Replicate less `train_mean` in Pearson delta, against the same half of the cells, in standard errors.

    Differences are averaged per condition over splits first: the error is over distinct conditions.
    """
    c_in, c_ref = s.x[s.inputs].mean(axis=0), s.x[s.reference].mean(axis=0)
    row = {c: i for i, c in enumerate(s.conditions)}
    found: dict[str, list[float]] = {}
    for split in splits:
        floor = train_mean_shift(s, split)
        for c in (c for part in split.test.values() for c in part):
            a, b = (s.x[half].mean(axis=0) for half in np.array_split(s.cells[c], 2))
            replicate, truth, kept = a - c_in, b - c_ref, s.kept[row[c]]
            difference = correlation(replicate, truth, kept) - correlation(floor, truth, kept)
            found.setdefault(c, []).append(difference)
    values = np.array([np.mean(v) for v in found.values()])
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))


def pearson_delta(s: Screen, test: list[str], shifts: Floats) -> float:
    """Mean over test conditions; `shifts` [test, genes] or [genes]."""
    rows = [s.conditions.index(c) for c in test]
    shifts = np.broadcast_to(shifts, (len(test), len(s.genes)))
    d = s.d
    return float(np.mean([correlation(shifts[i], d[r], s.kept[r]) for i, r in enumerate(rows)]))


def control_loadings(s: Screen, n_components: int = 10) -> Floats:
    """PCA gene loadings [genes, n_components] of the input controls."""
    return np.asarray(PCA(n_components, svd_solver="full").fit(s.x[s.inputs]).components_.T)


def epistasis_z(s: Screen, interactions: dict[str, Floats]) -> float:
    """Mean over doubles of the projection of d_AB - d_A - d_B on a direction [genes], in standard errors.

    The direction is the planted interaction; nothing else of the truth is used.
    """
    row, d = {c: i for i, c in enumerate(s.conditions)}, s.d
    values = []
    for double, direction in interactions.items():
        parts = [row[double], *(row[f"{g}+ctrl"] for g in constituents(double))]
        kept = s.kept[parts].all(axis=0)
        residual = d[parts[0]] - d[parts[1]] - d[parts[2]]
        values.append(residual[kept] @ direction[kept] / np.linalg.norm(direction[kept]))
    return float(np.mean(values) / (np.std(values, ddof=1) / np.sqrt(len(values))))
