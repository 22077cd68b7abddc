"""What a truth holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import stratum
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.stats.differential import Bools

T = TypeVar("T")


@dataclass(frozen=True)
class Truth:
    """Truth of one task for T evaluated test units, G genes, C contexts and H = 2 x 5 halves.

    A unit is a condition in a context; with one context it is the condition. Controls are those of the unit's context.

    Attributes:
        conditions: Condition of each evaluated test unit ``[T]``: at least ``min_cells`` cells.
        context: Position of its context in ``contexts`` ``[T]``.
        genes: Gene names ``[G]``.
        contexts: Context names ``[C]``.
        cells: Test cells of each unit ``[T]``.
        y: Mean of the unit's test cells ``[T, G]``.
        c_in: Mean of the input cells ``[T, G]``.
        c_ref: Mean of the reference controls ``[T, G]``.
        c_rep: Mean of the controls from which a replicate's shift is measured ``[T, G]``: ``c_in``, or where a split
            leaves models few or shallow cells of a context, of all its controls outside the reference, at full depth.
        train_delta: Mean over train units of (their mean - c_in), each counting once ``[G]``.
        control_sd: SD of the input controls, within contexts ``[G]``.
        expressed: Genes seen in at least 10 train cells (train conditions and input controls) ``[G]``.
        targets: Genes perturbed in the unit ``[T, G]``.
        de_z: Wilcoxon z of the unit's test cells against the reference controls ``[T, G]``.
        significant: Benjamini-Hochberg at 5% over expressed genes ``[T, G]``.
        half_y: Mean of half the unit's cells ``[H, T, G]``; halves 2i and 2i + 1 are complements.
        half_de_z: Wilcoxon z of each half ``[H, T, G]``.
        gears_control: Mean of *all* controls of each context ``[C, G]``, for the published ``gears_*`` forms.
        gears_de: Top-20 genes of scanpy's t-test against all controls of the context ``[T, 20]``.
        n_controls: Input and reference controls by context ``[C, 2]``.
        train_y: Mean of the train units' means ``[G]``.
        variance: Variance over the unit's cells, ddof 1, float32 ``[T, G]``.
        legacy_de: Top-50 genes of the same t-test ``[T, 50]``, for the published ``legacy_*`` forms.
        legacy_spread: Mean over genes of the variance of all cells and of each half ``[1 + H, T]``, ddof 0.
        cell_begin: Where each unit begins among the N sampled test cells ``[T + 1]``.
        cell_side: The half (0 or 1) in which each of them is, by halving ``[5, N]``.
        cell_scores: Their scores on ``pca_axes``, own targets held at the mean ``[N, 50]``, float32.
        cell_markers: Their expression of the markers ``[N, P]``, float32.
        legacy_cells: Their expression of the top-20 genes of ``legacy_de`` ``[N, 20]``, float32.
        legacy_controls: The same of one random control each ``[N, 20]``, float32.
        markers: Columns of the markers: those that vary most between train units ``[P]``.
        pca_mean: Mean of train cells ``[G]``, float32.
        pca_axes: Their principal axes ``[50, G]``, float32.
        double_row: Row of each unit in ``additive``; -1 = not a double of two train singles of its context ``[T]``.
        additive: Sums of singles' shifts ``[4, D, G]``, float32: see
            :func:`bench.tracks.response.truth.doubles.additive_shifts`.
        epistasis_resolved: Doubles whose replicates agree on what they do beyond their singles ``[T]``.
        kept_additive: The first of these measured on cells of the singles that are kept from all models, against the
            reference controls ``[D, G]``, float32; 0 where there are none.
        kept_resolved: Doubles whose replicates agree on what they do beyond these ``[T]``.
        subgroup: Subgroup of each unit in the split ``[T]``; empty = none.
        c_ref_draws: How far the mean of the reference controls moves under bootstraps of them ``[C, 50, G]``.
        de_z_draws: ``de_z`` under the same bootstraps, float32 ``[50, T, G]``.
        replicate_de_draws: ``signed_rank_z`` of a half as a prediction of the other under them, mean over halves
            ``[50, T]``.
        directions: What train units do on average, in several ways ``[D, G]``: see
            :func:`bench.tracks.response.truth.train.train_facts`.
        direction_names: Their names ``[D]``.
        sizes: Sizes of the train shifts ``[S]``.
        size_names: Their names ``[S]``.
        elsewhere: Shifts of test units that follow from other contexts ``[E, T, G]``: see
            :func:`bench.tracks.response.truth.elsewhere.elsewhere`.
        elsewhere_names: Their names ``[E]``; none where no tested perturbation is in another context.
        state_shift: Shift of each unit in each of K states, float32, NaN where it has too few cells there; K = 0 where
            no context has states ``[T, K, G]``: see :mod:`bench.tracks.response.truth.states`.
        state_half: The same of each half ``[H, T, K, G]``.
        state_change: Share of the unit's cells that change state ``[T]``; NaN where unknown.
        state_reasons: Why a context has no states; empty = it has ``[C]``.
        stem: Names the truth among cached ones; empty = it is not cached.
    """

    conditions: tuple[str, ...]
    context: NDArray[np.int64]
    genes: tuple[str, ...]
    contexts: tuple[str, ...]
    cells: Floats
    y: Floats
    c_in: Floats
    c_ref: Floats
    c_rep: Floats
    train_delta: Floats
    control_sd: Floats
    expressed: Bools
    targets: Bools
    de_z: Floats
    significant: Bools
    half_y: Floats
    half_de_z: Floats
    gears_control: Floats
    gears_de: NDArray[np.int64]
    n_controls: NDArray[np.int64]
    train_y: Floats
    variance: NDArray[np.float32]
    legacy_de: NDArray[np.int64]
    legacy_spread: Floats
    cell_begin: NDArray[np.int64]
    cell_side: NDArray[np.int64]
    cell_scores: NDArray[np.float32]
    cell_markers: NDArray[np.float32]
    legacy_cells: NDArray[np.float32]
    legacy_controls: NDArray[np.float32]
    markers: NDArray[np.int64]
    pca_mean: NDArray[np.float32]
    pca_axes: NDArray[np.float32]
    double_row: NDArray[np.int64]
    additive: NDArray[np.float32]
    epistasis_resolved: Bools
    kept_additive: NDArray[np.float32]
    kept_resolved: Bools
    subgroup: tuple[str, ...]
    c_ref_draws: Floats
    de_z_draws: NDArray[np.float32]
    replicate_de_draws: Floats
    directions: Floats
    direction_names: tuple[str, ...]
    sizes: Floats
    size_names: tuple[str, ...]
    elsewhere: Floats
    elsewhere_names: tuple[str, ...]
    state_shift: NDArray[np.float32]
    state_half: NDArray[np.float32]
    state_change: Floats
    state_reasons: tuple[str, ...]
    stem: str = field(default="", init=False)
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def replicate(self, half: int) -> Floats:
        """The complement of a half as a prediction of it ``[T, G]``: its shift from ``c_rep``, on the input cells."""
        return np.asarray(self.half_y[half ^ 1] + (self.c_in - self.c_rep))

    @property
    def scored(self) -> Bools:
        """Expressed genes without the unit's own targets ``[T, G]``."""
        return self.expressed & ~self.targets

    @property
    def stratum(self) -> NDArray[np.str_]:
        """What is known of each unit without knowing what perturbs it ``[T]``: how many genes, or dose and time."""
        return np.array([stratum(name) for name in self.conditions], dtype=np.str_)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Make something that follows from this truth where it is first asked for, and keep it.

        Args:
            name: What it is; unique among all that is kept of a truth.
            make: Makes it.
        """
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found

    def keep(self, name: str, value: object) -> None:
        """Keep something that :meth:`once` will find."""
        self._made[name] = value

    @property
    def units(self) -> tuple[Unit, ...]:
        """The evaluated test units ``[T]``."""
        return tuple(Unit(name, self.contexts[c]) for name, c in zip(self.conditions, self.context, strict=True))
