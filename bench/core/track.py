"""What a track says of itself: its metrics, its bars, and how its boards are shown.

Records, boards, intervals, claims and reports are shared. They take a :class:`Track` and know none by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

Better: TypeAlias = Literal["high", "low", "one", "zero", "none"]
Ceiling: TypeAlias = Literal["replicate", "noise_free"]
#: How far the mean of a closed form may be from a published one: what another order of a float64 sum leaves.
CLOSED_FORM = 1e-9
#: The same of a trained model, relative to 1 or to the value where that is larger. 21 fits (``simulated``, doubles)
#: were made on two processors: 19 agree within 6e-6 in every metric; of the two others most means moved by up to
#: 1.5e-3, those of :data:`BY_CALLS` by up to 6e-3. Each tolerance is about twice the largest.
LEARNED = 3e-3
#: The same where single genes are counted, or where an error is not bounded.
BY_CALLS = 1.2e-2
#: The value of a perfect score where more is not better.
_BEST: dict[str, float] = {"one": 1.0, "zero": 0.0}


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """How a metric is read: all that a board, a comparison or an explanation needs of it.

    Attributes:
        name: Column name.
        better: ``high`` or ``low``; ``one`` and ``zero``: the right value is 1 or 0; ``none``: descriptive.
        range: Lowest and highest possible value; of a statistic over units, that of the mean.
        formula: The formula in one line.
        source: Where the definition comes from.
        trap: The trap that it avoids, or that the reader must know of.
        family: The family that it ranks for; one metric per family.
        chance_text: What a prediction without information gets, in words or digits; ``""`` = there is no such value.
        by_gallery: Whether it is computed again for each subgroup, because other units enter its value.
        ranked: Whether more is better by itself, so that skill and rank may be taken from it.
        ceiling: What skill 1 is. ``replicate``: what half of a unit's cells scores against the other half.
            ``noise_free``: what the unit's true mean would score; for a correlation r of two halves sqrt(max(0, r)).
        tolerance: How far the mean of a trained model may be from a published one and still reproduce it.
        margin: A claim of difference must exceed it: what nobody would act upon.
        optional: Whether CSVs leave its columns out where no row has a value.
    """

    name: str
    better: Better
    range: tuple[float, float]
    formula: str
    source: str
    trap: str
    family: str | None = None
    chance_text: str = ""
    by_gallery: bool = False
    ranked: bool = True
    ceiling: Ceiling = "replicate"
    tolerance: float = LEARNED
    margin: float = 0.01
    optional: bool = False

    @property
    def direction(self) -> int:
        """1 = higher is better, -1 = lower is, 0 = neither."""
        return {"high": 1, "low": -1}.get(self.better, 0)

    @property
    def best(self) -> float | None:
        """The value of a perfect score; None where there is no such thing."""
        low, high = self.range
        return {"high": high, "low": low, **_BEST}.get(self.better)


@dataclass(frozen=True)
class Column:
    """A column of the table that people read.

    Attributes:
        title: What stands above it.
        metric: Name of the metric.
        form: ``number``, ``log_ratio`` (shown as the ratio), or ``share`` (per cent).
        meaning: One sentence that a biologist understands.
        optional: Whether it is left out where few rows have a value, or all lie within .05 of 0.
    """

    title: str
    metric: str
    form: Literal["number", "log_ratio", "share"] = "number"
    meaning: str = ""
    optional: bool = False


@dataclass(frozen=True)
class View:
    """A part of a track's question, which a table may be about alone.

    Attributes:
        prefix: How the names of its metrics begin.
        columns: What people see of it.
        legend: How it is read.
        in_new_contexts: Whether it is asked only where a split holds contexts out.
    """

    prefix: str
    columns: tuple[Column, ...]
    legend: str
    in_new_contexts: bool = False


@dataclass(frozen=True, eq=False)  # one object each, by which what is computed for a track is kept
class Track:
    """A kind of question.

    Attributes:
        name: Name of its folder in ``bench/tracks`` and in ``leaderboards/records``.
        verb: The verb of ``bench`` that makes its records.
        question: What a board asks, as a question for people.
        suffix: Absent, a CSV is called ``<dataset>__<split>``; else ``<dataset><suffix>``, one for all splits.
        file: Stem of its files in a run's folder.
        version: Version of everything between predictions (or embeddings) and a record.
        metrics: Metrics with a value per unit, by name, in the order of columns.
        primary: What rows are sorted by where no skill is defined, and what ``beat_rate`` is about.
        baseline: Label of the row that ``beat_rate`` is about, and whose split seeds are those of a board; ``""`` =
            there is none.
        floor_text: What skill 0 is, in words.
        ceiling_text: What skill 1 is, in words.
        columns: What people see of a board.
        takes: What is evaluated: a model's predictions of the test units; its predictions for all candidates of a task;
            its frozen encoder, which has no head; or profiles of wells, which an encoder may have made too.
        statuses: Whether records may say, in a word, why a task could not be asked; boards then have a column for it.
        folds: Control folds that its boards know.
        numbers: Names of numbers of a whole run, without a value per unit.
        number_info: How those of them are read whose name does not say it.
        legend: What to look at first.
        views: Parts of the question by name, about which ``--task`` makes a table.
        board: Makes the CSV of a board from its records, where intervals are not over units: a track without values by
            unit has one; absent = as :func:`bench.results.board.board` does.
    """

    name: str
    verb: str
    version: int
    metrics: Mapping[str, MetricInfo]
    primary: str
    baseline: str
    floor_text: str
    ceiling_text: str
    columns: tuple[Column, ...]
    suffix: str = ""
    file: str = "record"
    takes: Literal["predictions", "candidates", "encoder", "profiles", "latents"] = "predictions"
    statuses: bool = False
    question: str = ""
    folds: tuple[Literal[0, 1], ...] = (0, 1)
    numbers: tuple[str, ...] = ()
    number_info: Mapping[str, MetricInfo] = field(default_factory=dict)
    legend: str = ""
    notes: tuple[str, ...] = field(default=())
    views: Mapping[str, View] = field(default_factory=dict)
    board: Callable[[Sequence[Any]], pd.DataFrame] | None = None

    @property
    def claims_skill(self) -> bool:
        """Whether a claim about ``skill`` is about it: of the tracks that have one, the one of the plain boards."""
        return bool(self.families) and not self.suffix

    @cached_property
    def families(self) -> dict[str, str]:
        """The metric that stands for each family in the mean skill."""
        return {metric.family: name for name, metric in self.metrics.items() if metric.family}

    def about(self, view: View) -> Track:
        """The track as a table about a part of it shows it: without skill, which is of all parts."""
        metrics = {name: replace(metric, family=None) for name, metric in self.metrics.items()}
        return replace(self, columns=view.columns, metrics=metrics, legend=view.legend)

    def columns_about(self, view: View, columns: Iterable[str]) -> list[str]:
        """Those columns of a board that a table about a part of the question has."""
        others = {other.prefix for other in self.views.values() if other.prefix != view.prefix}
        return [name for name in columns if not name.startswith((*others, "skill", "beat_rate"))]
