"""What a metric may look at: the truth of T test conditions over G genes, and one prediction of it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tracks.response.metrics.cache import Cache, Side, cached, empty_cache
from bench.tracks.response.metrics.functional import (
    BoolG,
    BoolT,
    BoolTG,
    FloatG,
    FloatT,
    FloatTG,
    Standard,
    bounded,
    standardise,
)
from bench.tracks.response.metrics.optional import (
    AdditiveShifts,
    CellPair,
    GearsTruth,
    LegacyCells,
    StateShifts,
    UnitCodes,
)

# Below this share of the largest expression a difference is storage noise: float32 keeps 6e-8 relative, and
# a mean over cells or a float32 matrix product can lose another digit.
NOISE = 1e-6


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One prediction beside its truth, for T test conditions and G genes, log1p expression in float64.

    Args:
        y: [T, G] means of the test cells.
        y_hat: [T, G] means of the predicted cells; read up to +-1e9, as d_hat is.
        d: [T, G] true shifts, `y - c_ref` (reference controls, which no model has seen).
        d_hat: [T, G] predicted shifts, `y_hat - c_in` (the controls that were given to the model).
        scored: [T, G] expressed genes without the condition's own targets.
        gallery_scored: [G] expressed genes without the targets of any condition of the gallery.
        train_delta: [G] mean shift of the train conditions, m.
        control_sd: [G] standard deviation over the train controls, not floored.
        expressed: [G] genes seen in enough train cells.
        de_z: [T, G] signed Wilcoxon z of the condition's cells against the reference controls.
        significant: [T, G] Benjamini-Hochberg at 5%.
        train_y: [G] mean of the train condition means, t.
        d_var: [T, G] sampling variance of d (of the test cells' mean and of the reference controls' mean); None = 0.
        gears: truth in the shared-control form; None if nobody asked for `gears_*`.
        cells: held-out and predicted cells; None for a prediction of means.
        legacy: test cells beside random controls; None if nobody asked for `legacy_*`.
        epistasis: additive shifts of doubles; None if there are none.
        crossed: condition and context of each unit; None if nobody asked for metrics over several contexts.
        states: true and predicted shifts by state of the cells; None if either has none.
        state_change: [T] share of cells that change state, NaN where unknown; None if no cell has a state.

    Raises:
        ValueError: for a wrong shape, a value that is not finite where it will be read, a gene scored but
            not expressed, or a `gallery_scored` gene that is some condition's target.
    """

    y: FloatTG
    y_hat: FloatTG
    d: FloatTG
    d_hat: FloatTG
    scored: BoolTG
    gallery_scored: BoolG
    train_delta: FloatG
    control_sd: FloatG
    expressed: BoolG
    de_z: FloatTG
    significant: BoolTG
    train_y: FloatG
    d_var: FloatTG | None = None
    gears: GearsTruth | None = None
    cells: CellPair | None = None
    legacy: LegacyCells | None = None
    epistasis: AdditiveShifts | None = None
    crossed: UnitCodes | None = None
    states: StateShifts | None = None
    state_change: FloatT | None = None
    cache: dict[Side, Cache] = field(default_factory=empty_cache, init=False, repr=False)

    def __post_init__(self) -> None:
        _coerce(
            self,
            floats=("y", "y_hat", "d", "d_hat", "train_delta", "control_sd", "de_z", "train_y"),
            bools=("scored", "gallery_scored", "expressed", "significant"),
        )
        if self.y.ndim != 2:
            raise ValueError(f"y must be [conditions, genes], got shape {self.y.shape}")
        conditions, genes = self.y.shape
        for name in ("y_hat", "d", "d_hat", "scored", "de_z", "significant"):
            _expect_shape(name, getattr(self, name), [(conditions, genes)])
        for name in ("gallery_scored", "train_delta", "control_sd", "expressed", "train_y"):
            _expect_shape(name, getattr(self, name), [(genes,)])
        for name in ("y", "d", "train_delta", "control_sd", "train_y"):
            _expect_finite(name, getattr(self, name))
        self._check_prediction()
        _expect_finite("de_z (scored genes)", np.where(self.scored, self.de_z, 0.0))
        if (self.scored & ~self.expressed).any() or (self.gallery_scored & ~self.expressed).any():
            raise ValueError("scored and gallery_scored may hold expressed genes only")
        if (self.gallery_scored & ~self.scored).any():
            raise ValueError("gallery_scored may hold only genes that are scored for every condition")
        if self.d_var is not None:
            _expect_shape("d_var", self.d_var, [(conditions, genes)])
            _expect_finite("d_var", self.d_var)
        if self.gears is not None:
            self._check_gears(self.gears)

    def _check_prediction(self) -> None:
        # A prediction with holes is refused here: no metric can then turn a hole into a dropped condition.
        for name in ("y_hat", "d_hat"):
            value = getattr(self, name)
            _expect_shape(name, value, [self.y.shape])
            _expect_finite(name, value)
            object.__setattr__(self, name, bounded(value))

    def beside(self, y_hat: FloatTG, d_hat: FloatTG, cells: CellPair | None, cache: dict[Side, Cache]) -> Evaluation:
        """Another prediction of the same truth; what is known of the truth stays known.

        Args:
            y_hat: [T, G] means of its predicted cells.
            d_hat: [T, G] its shifts.
            cells: Held-out cells beside its own.
            cache: What is known of the prediction (and of its cells' spread), from an evaluation of the same conditions
                and scored genes; empty if there is none yet.
        """
        other = copy(self)
        for name, value in (("y_hat", y_hat), ("d_hat", d_hat), ("cells", cells)):
            object.__setattr__(other, name, value)
        object.__setattr__(other, "cache", {**cache, "truth": self.cache["truth"], "both": {}})
        if not cache["prediction"]:
            other._check_prediction()
        return other

    def _check_gears(self, gears: GearsTruth) -> None:
        conditions, genes = self.y.shape
        _coerce(gears, floats=("y", "control"), bools=())
        _expect_shape("gears.y", gears.y, [(conditions, genes)])
        _expect_shape("gears.control", gears.control, [(genes,), (conditions, genes)])
        _expect_finite("gears.y", gears.y)
        _expect_finite("gears.control", gears.control)
        top = gears.de_genes
        if top.ndim != 2 or len(top) != conditions or top.shape[1] < 1 or top.dtype.kind not in "iu":
            raise ValueError(f"gears.de_genes must be integers [{conditions}, 20], got {top.dtype} {top.shape}")
        if top.size and not (top.min() >= 0 and top.max() < genes):
            raise ValueError(f"gears.de_genes must be gene positions in 0..{genes - 1}")

    @property
    @cached("prediction")
    def prediction_noise(self) -> FloatT:
        """[T] size under which a predicted difference is storage noise: 1e-6 x max(1, max abs y_hat)."""
        return _noise(self.y_hat, self.scored)

    @property
    @cached("truth")
    def truth_noise(self) -> FloatT:
        """[T] the same for the truth: 1e-6 x max(1, max abs y)."""
        return _noise(self.y, self.scored)

    @property
    @cached("prediction")
    def predicted_shift(self) -> Standard:
        """Predicted shifts over scored genes, standardised."""
        return standardise(self.d_hat, self.scored)

    @property
    @cached("truth")
    def true_shift(self) -> Standard:
        """True shifts over scored genes, standardised."""
        return standardise(self.d, self.scored)

    @property
    def degenerate(self) -> BoolT:
        """[T] the prediction tells no scored gene from another: sd(d_hat) <= prediction_noise.

        Exact zero would not do: `no_change` stored as float32 differs from the controls by rounding.
        """
        return ~(self.predicted_shift.sd > self.prediction_noise)

    @property
    def flat(self) -> BoolT:
        """[T] the truth tells no scored gene from another (or none is scored): same rule, for d."""
        return ~(self.true_shift.sd > self.truth_noise)

    def subset(self, rows: NDArray[Any] | Sequence[int] | Sequence[bool]) -> Evaluation:
        """The conditions `rows` ([T] bool, or positions) as a gallery of their own.

        Targets of conditions that left the gallery are scored again by the identity metrics.
        """
        index = np.asarray(rows)
        if index.ndim != 1 or index.dtype.kind not in "biu":
            raise ValueError("rows must be a mask [T] or a list of positions")
        # Genes kept out of the gallery for another reason than being somebody's target stay out.
        kept_out = self.scored.all(axis=0) & ~self.gallery_scored
        per_condition = ("y", "y_hat", "d", "d_hat", "scored", "de_z", "significant")
        return replace(
            self,
            **{name: getattr(self, name)[index] for name in per_condition},
            gallery_scored=self.expressed & self.scored[index].all(axis=0) & ~kept_out,
            d_var=None if self.d_var is None else self.d_var[index],
            gears=None if self.gears is None else self.gears.subset(index),
            cells=None if self.cells is None else self.cells.subset(index),
            legacy=None if self.legacy is None else self.legacy.subset(index),
            epistasis=None if self.epistasis is None else self.epistasis.subset(index),
            crossed=None if self.crossed is None else self.crossed.subset(index),
            states=None if self.states is None else self.states.subset(index),
            state_change=None if self.state_change is None else self.state_change[index],
        )


def _noise(expression: FloatTG, scored: BoolTG) -> FloatT:
    # Scored genes only: a gene that no metric reads must not decide what the others count for.
    largest: FloatT = np.abs(np.where(scored, expression, 0.0)).max(axis=1, initial=1.0)
    return NOISE * largest


def _coerce(evaluation: Evaluation | GearsTruth, floats: tuple[str, ...], bools: tuple[str, ...]) -> None:
    for name in (f.name for f in fields(evaluation)):
        value = getattr(evaluation, name)
        if name in floats:
            object.__setattr__(evaluation, name, np.asarray(value, dtype=np.float64))
        elif name in bools and np.asarray(value).dtype != np.bool_:
            # An integer index array would silently be read as a mask.
            raise ValueError(f"{name} must be boolean, got {np.asarray(value).dtype}")


def _expect_shape(name: str, value: NDArray[Any], shapes: list[tuple[int, ...]]) -> None:
    if value.shape not in shapes:
        raise ValueError(f"{name} must have shape {' or '.join(map(str, shapes))}, got {value.shape}")


def _expect_finite(name: str, value: NDArray[np.float64]) -> None:
    bad = ~np.isfinite(value)
    if bad.any():
        where = ", ".join(map(str, np.argwhere(bad)[0]))
        raise ValueError(f"{name} has {int(bad.sum())} values that are not finite, the first at [{where}]")
