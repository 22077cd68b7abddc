"""What cells of a screen in many contexts show, in plain numpy: floors, encoders, replicate and interaction residuals.

The head is the same for every encoder: one ridge from a context's standardised mean latent of its input controls to the
shifts of all its perturbations, its penalty chosen on validation contexts. Nothing here is a model of the project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from bench.data.simulate.contexts.states import gates
from bench.data.simulate.contexts.truth import ContextSimulation

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Encoder = Callable[[Rows], Floats]

PENALTIES = tuple(10.0 ** np.arange(-2, 5))


def double_centred(shifts: Floats) -> Floats:
    """Take the means over contexts and over perturbations out of [perturbations, contexts, genes]."""
    return shifts - shifts.mean(0, keepdims=True) - shifts.mean(1, keepdims=True) + shifts.mean((0, 1), keepdims=True)


def correlations(a: Floats, b: Floats) -> Floats:
    """Pearson correlation over the last axis; 0 where one side does not vary."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(-1), norms, out=np.zeros(norms.shape), where=norms > 0)


def residual_r(predicted: Floats, true: Floats) -> float:
    """Mean over units of the correlation of double-centred shifts [perturbations, contexts, genes].

    A remainder that is but rounding, under a millionth of the truth's, says nothing: 0.
    """
    left, right = double_centred(predicted), double_centred(true)
    r = correlations(left, right)
    negligible = np.linalg.norm(left, axis=-1) < 1e-6 * np.linalg.norm(right, axis=-1)
    return float(np.where(negligible, 0.0, r).mean())


@dataclass
class ContextScreen:
    """Cells as a user would see them, cut in train, validation and held-out contexts.

    Attributes:
        simulation: The cells, with their truth.
        seed: Of the cut: controls in input and reference halves, cells in halves, contexts.
        n_held: Held-out contexts, of those whose median unit has 200 cells or is among the larger half.
        n_val: Contexts by which the penalty is chosen.
    """

    simulation: ContextSimulation
    seed: int = 0
    n_held: int = 8
    n_val: int = 6

    def __post_init__(self) -> None:
        sim, rng = self.simulation, np.random.default_rng([self.seed, 7])
        counts = sim.counts.tocsr().astype(np.float64)
        self.x = sp.csr_matrix(sp.diags(1e4 / sim.ncounts) @ counts)
        self.x.data = np.log1p(self.x.data)
        names, self.context = np.unique(sim.context, return_inverse=True)
        conditions, condition = np.unique(sim.condition, return_inverse=True)
        self.perturbations = [str(c) for c in conditions if c != "ctrl"]
        control = conditions.tolist().index("ctrl")
        self.names, self.sizes = names, np.zeros((len(self.perturbations), len(names)), dtype=np.int64)
        self.inputs: list[Rows] = []
        members: list[list[Rows]] = [[], [], []]  # whole against reference; half against reference, half against input
        for c in range(len(names)):
            here = np.flatnonzero(self.context == c)
            shuffled = rng.permutation(here[condition[here] == control])
            self.inputs.append(shuffled[::2])
            reference = shuffled[1::2]
            for kept, rows in zip(members, (reference, reference, self.inputs[c])):
                kept.append(rows)
            for i, name in enumerate(self.perturbations):
                cells = rng.permutation(here[condition[here] == conditions.tolist().index(name)])
                self.sizes[i, c] = len(cells)
                for kept, rows in zip(members, (cells, cells[::2], cells[1::2])):
                    kept.append(rows)
        targets = {name.removesuffix("+ctrl") for name in self.perturbations}
        self.scored = ~np.isin(sim.genes, list(targets))
        self.shifts, *self.halves = (self._shifts(rows) for rows in members)
        deep = rng.permutation(np.argsort(-np.median(self.sizes, axis=0))[: max(self.n_held, len(names) * 2 // 5)])
        self.held = np.sort(deep[: self.n_held])
        others = rng.permutation(np.setdiff1d(np.arange(len(names)), self.held))
        self.val, self.train = others[: self.n_val], others[self.n_val :]

    def _shifts(self, members: Sequence[Rows]) -> Floats:
        """Mean of each unit's cells less that of its context's reference, [perturbations, contexts, scored genes]."""
        lengths = np.array([len(rows) for rows in members])
        owner = np.repeat(np.arange(len(members)), lengths)
        indicator = sp.csr_matrix(
            (1 / lengths[owner], (owner, np.concatenate(members))), (len(members), self.x.shape[0])
        )
        means = (indicator @ self.x).toarray()[:, self.scored]
        units = means.reshape(len(self.names), len(self.perturbations) + 1, -1)
        return np.ascontiguousarray((units[:, 1:] - units[:, :1]).transpose(1, 0, 2))

    @cached_property
    def true_shifts(self) -> Floats:
        """The generator's own, in the order of `shifts`."""
        truth = self.simulation.truth
        at = {unit: i for i, unit in enumerate(zip(truth.conditions.tolist(), truth.contexts.tolist()))}
        order = [[at[p, str(c)] for c in self.names] for p in self.perturbations]
        return np.asarray(truth.shifts[np.array(order)][:, :, self.scored])

    def scores(self, predicted: Floats, true: Floats | None = None) -> tuple[float, float]:
        """Pearson r and residual r over the held-out units, of [perturbations, held, genes]."""
        true = self.shifts[:, self.held] if true is None else true
        return float(correlations(predicted, true).mean()), residual_r(predicted, true)

    def same_perturbation(self) -> Floats:
        """The floor: the mean of the same perturbation in the other contexts."""
        rest = np.concatenate([self.train, self.val])
        return np.repeat(self.shifts[:, rest].mean(axis=1, keepdims=True), len(self.held), axis=1)

    def replicate_z(self) -> float:
        """By how many standard errors, of paired differences between units, a replicate is above the floor."""
        a, b = (half[:, self.held] for half in self.halves)
        difference = (correlations(a, b) - correlations(self.same_perturbation(), a)).ravel()
        return float(difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference))))

    def predict(
        self, encode: Encoder, asked: int | None = None, bags: Sequence[int | None] = (None,), draw: int = 0
    ) -> Floats:
        """Shifts of the held-out units [perturbations, held, genes] from latents of control cells.

        Args:
            encode: Latents of these cells [cells, width].
            asked: Input controls of the held-out contexts that are looked at; all by default.
            bags: Sizes of the bags of input controls, one each of every other context, that the head is trained on.
            draw: Which cells are taken where not all are.
        """
        rng = np.random.default_rng([self.seed, 11, draw])

        def rows_of(c: int, size: int | None) -> Rows:
            return self.inputs[c] if size is None else rng.permutation(self.inputs[c])[:size]

        def latents(contexts: Rows, sizes: Sequence[int | None]) -> Floats:
            return np.stack([encode(rows_of(c, size)).mean(axis=0) for size in sizes for c in contexts])

        train, val, held = latents(self.train, bags), latents(self.val, bags), latents(self.held, [asked])
        targets = self.shifts.transpose(1, 0, 2).reshape(len(self.names), -1)
        y, wanted = (np.tile(targets[part], (len(bags), 1)) for part in (self.train, self.val))
        # Shifts vary between contexts, however many cells a unit has: many more than 50 hardly tell more.
        cells = self.sizes.mean(axis=0)
        weights = cells / (cells + 50)
        w, w_val = (np.tile(weights[part], len(bags)) for part in (self.train, self.val))
        errors = [float((w_val @ (ridge(train, y, w, a, val) - wanted) ** 2).sum()) for a in PENALTIES]
        penalty = PENALTIES[int(np.argmin(errors))]
        made = ridge(np.vstack([train, val]), np.vstack([y, wanted]), np.append(w, w_val), penalty, held)
        return made.reshape(len(self.held), len(self.perturbations), -1).transpose(1, 0, 2)

    def encoders(self) -> dict[str, Encoder]:
        """Encoders that learned nothing, identity, PCA of the train contexts' input controls, and the true gates."""
        x, truth = self.x, self.simulation.truth
        cells = x[np.concatenate([self.inputs[c] for c in self.train])].toarray()
        mean, sd = cells.mean(axis=0), np.maximum(cells.std(axis=0), 0.05)
        rng = np.random.default_rng([self.seed, 13])
        first = rng.standard_normal((x.shape[1], 256)) / np.sqrt(x.shape[1])
        second = rng.standard_normal((256, 64)) / np.sqrt(128)
        noise = rng.standard_normal((x.shape[0], 64))
        pca = PCA(10, random_state=0).fit(cells)
        return {
            "constant": lambda rows: np.ones((len(rows), 1)),
            "noise": lambda rows: noise[rows],
            "random": lambda rows: np.maximum((x[rows].toarray() - mean) / sd @ first, 0) @ second,
            "identity": lambda rows: x[rows].toarray(),
            "pca": lambda rows: pca.transform(x[rows].toarray()),
            "gates": lambda rows: gates(truth.parameters, truth.states.activities[rows]),
        }

    def contract(self) -> dict[str, tuple[float, float]]:
        """Pearson r and residual r of everything that the contract names."""
        a, b = (half[:, self.held] for half in self.halves)
        return {
            "train mean": self.scores(
                np.broadcast_to(self.same_perturbation().mean(0), self.shifts[:, self.held].shape)
            ),
            "same perturbation": self.scores(self.same_perturbation()),
            **{name: self.scores(self.predict(encode)) for name, encode in self.encoders().items()},
            "true shift": self.scores(self.true_shifts[:, self.held]),
            "replicate": self.scores(a, b),
        }

    def with_few(self, encode: Encoder, asked: int, draws: int = 5) -> float:
        """Residual r from this many control cells, of a head trained on bags of 3, 10 and 50."""
        bags = (3, 3, 10, 10, 50, 50)
        return float(np.mean([self.scores(self.predict(encode, asked, bags, draw))[1] for draw in range(draws)]))


def ridge(x: Floats, y: Floats, weights: Floats, penalty: float, wanted: Floats) -> Floats:
    """Weighted ridge regression on standardised columns [rows, width] -> [wanted rows, outputs]."""
    w = weights / weights.mean()
    center, mean = np.average(x, axis=0, weights=w), np.average(y, axis=0, weights=w)
    scale = np.sqrt(np.average((x - center) ** 2, axis=0, weights=w))
    scale = np.maximum(scale, 1e-9 + 1e-3 * scale.max())
    a, b = (x - center) / scale, (wanted - center) / scale
    dual = np.linalg.solve(a @ a.T + penalty * np.diag(1 / w), y - mean)
    return np.asarray(mean + b @ a.T @ dual)
