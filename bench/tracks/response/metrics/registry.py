"""What a metric is, the table of all metrics, and the one rule for values that do not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from bench.core.errors import BenchError, unknown
from bench.core.track import LEARNED, Better, Ceiling, MetricInfo
from bench.tracks.response.metrics.cache import lookup
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT

Family: TypeAlias = Literal["pattern", "identity", "size", "DE", "epistasis"]
Compute: TypeAlias = Callable[[Evaluation], FloatT]

#: Parts of an evaluation without which a metric is undefined.
OPTIONAL = frozenset({"cells", "legacy", "epistasis", "crossed", "states", "state_change"})
#: Kinds of galleries, which are units that enter each other's values: those of a context, those of a context and a
#: number of perturbed genes, all, or those of a context with their states.
GALLERIES = frozenset({"gallery", "peers", "crossed", "states"})


class UnknownMetric(BenchError, KeyError):
    """No metric of that name."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr


def never(evaluation: Evaluation) -> BoolT:
    """The truth always allows a value."""
    return np.zeros(len(evaluation.y), dtype=np.bool_)


def flat(evaluation: Evaluation) -> BoolT:
    """The truth moves no scored gene apart from the others."""
    return evaluation.flat


@dataclass(frozen=True)
class Metric:
    """One column of the table: a formula over a `Evaluation`, one value per condition, and how to read it.

    Args:
        name: column name.
        compute: `Evaluation` of T conditions -> [T].
        better: `high` or `low`; `one` and `zero`: the right value is 1 or 0; `none`: descriptive.
        chance: what a prediction without information gets, a number or `Evaluation` -> [T]; None: compute as it is.
        range: lowest and highest possible value; of a statistic over conditions, that of the mean.
        family: the family it ranks for; one metric per family.
        needs: `gallery` (compute within a context, again per subgroup) or `peers` (the same, within a context and a
            number of perturbed genes), `crossed` (compute over all units of several contexts), `states` (compute within
            a context, from shifts by state), or a part of the evaluation: `gears`, `cells`, `legacy`, `epistasis`,
            `state_change`.
        ranked: more is better by itself, so skill and rank may be taken from it.
        undefined: `Evaluation` -> [T] bool, where the truth allows no value. May look at the truth only.
        formula: the formula in one line.
        source: where the definition comes from.
        trap: the trap it avoids, or that the reader must know of.
        ceiling: what skill 1 is: see :class:`bench.core.track.MetricInfo`.
        influence: `Evaluation` -> [T], by how much a condition moves the mean beyond its own value, because it is
            compared with in the values of others.
        tolerance: see :class:`bench.core.track.MetricInfo`.
        optional: likewise.
    """

    name: str
    compute: Compute
    better: Better
    chance: float | Compute | None
    range: tuple[float, float]
    family: Family | None
    needs: frozenset[str]
    ranked: bool
    formula: str
    source: str
    trap: str
    undefined: Callable[[Evaluation], BoolT] = never
    ceiling: Ceiling = "replicate"
    influence: Compute | None = None
    tolerance: float = LEARNED
    optional: bool = False

    @property
    def info(self) -> MetricInfo:
        """How the metric is read: all that boards, comparisons and explanations need of it."""
        chance = (
            "" if self.chance is None else "depends on the condition" if callable(self.chance) else f"{self.chance:g}"
        )
        return MetricInfo(
            name=self.name,
            better=self.better,
            range=self.range,
            formula=self.formula,
            source=self.source,
            trap=self.trap,
            family=self.family,
            chance_text=chance,
            by_gallery=bool(self.needs & GALLERIES),
            ranked=self.ranked,
            ceiling=self.ceiling,
            tolerance=self.tolerance,
            optional=self.optional,
        )

    @property
    def best(self) -> float | None:
        """The value of a perfect score; None if there is no such thing."""
        return self.info.best

    def chance_level(self, evaluation: Evaluation) -> FloatT | None:
        """[T] what a prediction without information gets; None if the metric has no such value."""
        if self.chance is None:
            return None
        level = self.chance(evaluation) if callable(self.chance) else self.chance
        return np.broadcast_to(np.asarray(level, dtype=np.float64), (len(evaluation.y),))


class MetricValues(NamedTuple):
    """values [T], NaN exactly where undefined; undefined [T]; degenerate [T] (the chance value was put)."""

    values: FloatT
    undefined: BoolT
    degenerate: BoolT


METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    better: Better,
    chance: float | Compute | None,
    range: tuple[float, float],
    formula: str,
    source: str,
    trap: str,
    family: Family | None = None,
    needs: frozenset[str] = frozenset(),
    ranked: bool = True,
    undefined: Callable[[Evaluation], BoolT] = never,
    ceiling: Ceiling = "replicate",
    influence: Compute | None = None,
    tolerance: float = LEARNED,
    optional: bool = False,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as the metric `name`; arguments as in `Metric`.

    Raises:
        ValueError: the name is taken.
    """

    def register(compute: Compute) -> Compute:
        if name in METRICS:
            taken = getattr(METRICS[name].compute, "__module__", "elsewhere")
            raise ValueError(f"two metrics are called '{name}': one in {taken}, one in {compute.__module__}")
        METRICS[name] = Metric(
            name, compute, better, chance, range, family, needs, ranked, formula, source, trap, undefined, ceiling,
            influence, tolerance, optional,
        )  # fmt: skip
        return compute

    return register


def get(name: str) -> Metric:
    """The metric `name`.

    Raises:
        UnknownMetric: naming the nearest one.
    """
    if name not in METRICS:
        raise UnknownMetric(str(unknown("metric", name, METRICS)))
    return METRICS[name]


def evaluate(metric: Metric, evaluation: Evaluation) -> MetricValues:
    """One value per condition, and why where there is none to compute.

    Undefined because of the *truth*: NaN, for every prediction alike. Undefined because of the *prediction*
    (it tells no gene from another, or the formula breaks down on it): the metric's chance value. Abstaining
    therefore never drops a condition from a mean. Without a part that the metric needs (a prediction of means has
    no cells) all is undefined.

    Raises:
        ValueError: the metric needs `evaluation.gears` and there is none, or a metric without a chance value gave
            no number where the truth allows one.
    """
    if "gears" in metric.needs and evaluation.gears is None:
        raise ValueError(f"{metric.name} needs the shared-control truth, but evaluation.gears is None")
    if any(getattr(evaluation, part) is None for part in metric.needs & OPTIONAL):
        nothing = np.zeros(len(evaluation.y), dtype=np.bool_)
        return MetricValues(np.full(len(evaluation.y), np.nan), ~nothing, nothing)
    # The truth alone decides this, so it is asked once for all predictions.
    undefined = lookup(
        evaluation, "truth", metric.undefined, lambda: np.asarray(metric.undefined(evaluation), dtype=np.bool_)
    )
    values = np.array(metric.compute(evaluation), dtype=np.float64)
    chance = metric.chance_level(evaluation)
    broken = ~undefined & ~np.isfinite(values)
    if chance is None:
        if broken.any():
            raise ValueError(
                f"{metric.name} is {values[broken][0]} for condition {int(np.flatnonzero(broken)[0])}, where the"
                " truth allows a value; the metric must say what such a prediction scores"
            )
        degenerate = np.zeros_like(undefined)
    else:
        degenerate = ~undefined & (evaluation.degenerate | broken)
        values[degenerate] = chance[degenerate]
    values[undefined] = np.nan
    return MetricValues(values, undefined, degenerate)
