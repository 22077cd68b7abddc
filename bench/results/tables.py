"""One value per unit and metric of one record, and what its task says about the same units.

A unit is a (condition, context). Values and their degenerate flags are a record's own; what condition-blind answers and
a replicate reach are facts of the task, the same for every record of it. A metric with a gallery has rows of its own
for each subgroup; all others share the rows of the scope ``all``.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import conditions
from bench.core.errors import BenchError
from bench.core.files import canonical_json
from bench.core.track import Track
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.results import precision

ALL = "all"
#: Tertiles of effect strength, by how well a replicate predicts the condition.
EFFECTS = ("effect_low", "effect_mid", "effect_high")
#: Numbers of a record's own: against all cells; averaged over half truths, for the metrics of families; and what a unit
#: moves the mean by beyond its own value, for metrics with a gallery.
OWN_FIELDS = ("value", "half_value", "influence")
#: Begins the name of a task's field that holds what a condition-blind answer scores against half truths; one that is
#: fitted within a subgroup, and is an answer there only, ends in ``@`` and its name.
BLIND = "blind:"
#: Numbers that every task has.
TASK_FIELDS = ("floor", "half_floor", "half_replicate")
FIELDS = (*OWN_FIELDS, *TASK_FIELDS)
#: What tells two rows apart, and the order in which they are kept.
KEYS = ("scope", "condition", "context")
#: What else a task says of a unit in words.
GROUPS = ("subgroup", "effect")

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Words = NDArray[Any]


#: Kept, as the same few names are asked for again and again.
identity_name = functools.lru_cache(maxsize=1 << 14)(conditions.identity_name)


@dataclass(frozen=True, eq=False)
class TaskTable:
    """The units of one task, row by row, with its floor and replicate.

    Attributes:
        metrics: Metric names ``[M]``: those of the track, then others that a file holds.
        shown: How many of them are the track's.
        gallery: Which metrics are computed again for each subgroup ``[M]``.
        words: ``scope``, ``condition``, ``context``, ``subgroup``, ``effect``: ``[N]`` each, sorted by the first three.
        cells: Cells of a unit ``[N]``.
        numbers: Each of :data:`TASK_FIELDS`, and fields that begin with :data:`BLIND`, ``[N, M]``; NaN = undefined.
        draws: Under bootstraps of the reference controls, how far the mean over a scope's units moves, of a blind
            answer or of the ceiling (``replicate``): by (scope, metric, answer) ``[B]``.
    """

    metrics: tuple[str, ...]
    shown: int
    gallery: Mask
    words: Mapping[str, Words]
    cells: Rows
    numbers: Mapping[str, Floats]
    draws: Mapping[tuple[str, str, str], Floats] = field(default_factory=dict)

    @cached_property
    def blind(self) -> tuple[str, ...]:
        """Names of the condition-blind answers."""
        return tuple(sorted(name.removeprefix(BLIND) for name in self.numbers if name.startswith(BLIND)))

    @cached_property
    def answers(self) -> frozenset[str]:
        """Names of those that are answers of this task: a file may hold other tasks, with others."""
        return frozenset(name for name in self.blind if np.isfinite(self.numbers[BLIND + name]).any())

    @cached_property
    def scopes(self) -> dict[str, tuple[Rows, Rows | None]]:
        """By scope: its rows among those of ``all``, and its own rows where a gallery has some."""
        whole = self.words["scope"] == ALL
        out: dict[str, tuple[Rows, Rows | None]] = {ALL: (np.flatnonzero(whole), None)}
        for kind in GROUPS:
            for name in sorted({name for name in self.words[kind][whole].tolist() if name}):
                own = np.flatnonzero(self.words["scope"] == name)
                out[name] = np.flatnonzero(whole & (self.words[kind] == name)), own if len(own) else None
        return dict(sorted(out.items()))

    @cached_property
    def torn(self) -> str:
        """A subgroup whose own rows are not those of its units; empty where there is none."""
        whole = np.flatnonzero(self.words["scope"] == ALL)
        for scope, (rows, own) in self.scopes.items():
            names = [self.words[name] for name in ("condition", "context")]
            if own is not None and not all(np.array_equal(each[whole[rows]], each[own]) for each in names):
                return scope
        return ""

    @cached_property
    def units(self) -> dict[str, tuple[Unit, ...]]:
        """Units by scope."""
        names, contexts = self.words["condition"], self.words["context"]
        return {
            scope: tuple(Unit(str(names[row]), str(contexts[row])) for row in rows.tolist())
            for scope, (rows, _) in self.scopes.items()
        }

    @cached_property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """Units by scope, as canonical strings: the condition's identity, and its context where there are several."""
        several = len(set(self.words["context"].tolist())) > 1

        def name(row: int) -> str:
            # A space sorts before all that may stand in a name: the order is that of (condition, context).
            plain = identity_name(self.words["condition"][row])
            return f"{plain} in {self.words['context'][row]}" if several else plain

        return {scope: tuple(map(name, rows.tolist())) for scope, (rows, _) in self.scopes.items()}

    def take(self, numbers: Mapping[str, NDArray[Any]], scope: str, field: str) -> NDArray[Any]:
        """Rows of a scope of numbers ``[N, M]`` that stand beside these units; none where the task lacks the scope."""
        if scope not in self.scopes:
            return numbers[field][:0, : self.shown]
        rows, own = self.scopes[scope]
        found = numbers[field][rows, : self.shown]
        if own is not None:
            again = np.flatnonzero(self.gallery[: self.shown])
            found[:, again] = numbers[field][np.ix_(own, again)]
        return np.asarray(found)

    def same_units(self, other: TaskTable) -> bool:
        """Whether both hold the same rows about the same units."""
        return all(np.array_equal(self.words[name], other.words[name]) for name in KEYS)

    @cached_property
    def written_words(self) -> dict[str, str]:
        """Each of the words as canonical JSON: hashed again with every record of the task."""
        return {name: canonical_json(column.tolist()) for name, column in self.words.items()}

    @cached_property
    def hash(self) -> str:
        """Hash of the content (64 hex digits); a metric of which all is undefined counts as absent."""
        words = [*(self.written_words[name] for name in (*KEYS, *GROUPS)), canonical_json(self.cells.tolist())]
        return _digest(words, self.metrics, self.numbers, self.draws)


@dataclass(frozen=True, eq=False)
class Table:
    """The numbers of one record by unit.

    Attributes:
        task: The units.
        numbers: Each of :data:`OWN_FIELDS`, and ``degenerate``: whether a unit got the chance value because of the
            prediction ``[N, M]``.
        fell_back: Constituents of a unit that fell back ``[N]``.
        draws: Under bootstraps of the reference controls, how far the mean of the values over a scope's units moves: by
            (scope, metric) ``[B]``.
    """

    task: TaskTable
    numbers: Mapping[str, NDArray[Any]]
    fell_back: Rows
    draws: Mapping[tuple[str, str], Floats] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The track's metric names ``[M]``."""
        return self.task.metrics[: self.task.shown]

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """See :attr:`TaskTable.conditions`."""
        return self.task.conditions

    def field(self, scope: str, name: str) -> NDArray[Any]:
        """A field of the record or its task ``[n, M]``; a scope that the record lacks has no units."""
        return self.task.take(self.task.numbers if name in self.task.numbers else self.numbers, scope, name)

    def column(self, scope: str, name: str, metric: int) -> NDArray[Any]:
        """One metric's column of a field ``[n]``."""
        numbers = self.task.numbers if name in self.task.numbers else self.numbers
        rows, own = self.task.scopes.get(scope, (np.zeros(0, np.int64), None))
        return np.asarray(numbers[name][rows if own is None or not self.task.gallery[metric] else own, metric])

    def fallbacks(self, scope: str) -> Rows:
        """Constituents that fell back ``[n]``."""
        return self.fell_back[self.task.scopes[scope][0] if scope in self.task.scopes else []]

    def as_kept(self, learned: bool) -> Table:
        """The same, as exact as records keep it (:mod:`bench.results.precision`).

        Args:
            learned: Whether it is of what was trained in steps.
        """
        task = replace(self.task, draws={key: precision.kept_draws(row) for key, row in self.task.draws.items()})
        draws = {key: precision.kept_draws(row) for key, row in self.draws.items()}
        if not learned:
            return replace(self, task=task, draws=draws)
        own, of = self.numbers, self.task.numbers
        rounded = {
            "value": precision.kept_learned(own["value"], of["floor"]),
            "half_value": precision.kept_learned(own["half_value"], of["half_floor"]),
            "influence": precision.kept(own["influence"], precision.LEARNED_BITS),
        }
        return replace(self, task=task, draws=draws, numbers={**own, **rounded})

    @property
    def hash(self) -> str:
        """Hash of the record's own content (64 hex digits), of whatever file it is read from."""
        words = [*(self.task.written_words[name] for name in KEYS), canonical_json(self.fell_back.tolist())]
        return _digest(words, self.task.metrics, self.numbers, self.draws)


def _digest(
    words: Sequence[str],
    metrics: tuple[str, ...],
    numbers: Mapping[str, NDArray[Any]],
    draws: Mapping[Any, Floats],
) -> str:
    # The hash of one JSON list of all columns: so it was when they were written together.
    digest = hashlib.sha256(hashlib.sha256(f"[{','.join(words)}]".encode()).hexdigest().encode())
    order = np.argsort(np.array(metrics, dtype=np.str_), kind="stable")
    for name in sorted(numbers):
        block = numbers[name]
        some: Mask = np.any(block if block.dtype == np.bool_ else np.isfinite(block), axis=0)[order]
        kept = order[some]
        if not len(kept) and (name == "influence" or name.startswith(BLIND)):
            continue  # a track without galleries, or an answer that another task of the same file has
        digest.update(f"\n{name} {' '.join(metrics[i] for i in kept)}\n".encode())
        part = block[:, kept]
        if part.dtype != np.bool_:
            part = np.where(np.isnan(part), np.nan, part) + 0.0  # one NaN, one zero
        digest.update(np.ascontiguousarray(part).astype(part.dtype.newbyteorder("<"), copy=False).tobytes())
    for key in sorted(draws):
        digest.update(" ".join(key).encode() + as_stored(draws[key]).tobytes())
    return digest.hexdigest()


def as_stored(draws: Floats) -> NDArray[np.float16]:
    """Draws as files hold them: only their variance is asked for, so that three digits do."""
    return np.asarray(draws, dtype="<f2") + np.float16(0)


def all_metrics(track: Track, others: Sequence[str] = ()) -> tuple[tuple[str, ...], int, Mask]:
    """Metric names, how many are the track's, and which of them have a gallery.

    Args:
        track: The track.
        others: Names that a file holds.
    """
    names = (*track.metrics, *sorted(set(others) - set(track.metrics)))
    gallery = [name in track.metrics and track.metrics[name].by_gallery for name in names]
    return names, len(track.metrics), np.array(gallery, dtype=np.bool_)


def from_long(
    track: Track,
    frame: pd.DataFrame,
    draws: Mapping[tuple[str, str], Floats] | None = None,
    task_draws: Mapping[tuple[str, str, str], Floats] | None = None,
) -> Table:
    """Arrange one row per unit and metric as a table, values as exact as records of closed forms keep them.

    Args:
        track: The track.
        frame: Columns ``condition``, ``metric``, ``value``; where they make sense ``scope`` (absent = ``all``),
            ``context``, ``subgroup``, ``effect``, ``half_value``, ``influence``, ``floor``, ``half_floor``,
            ``half_replicate``, ``degenerate``, ``fallbacks``, ``cells``, and names that begin with :data:`BLIND`.
        draws: See :class:`Table`.
        task_draws: See :class:`TaskTable`.

    Raises:
        BenchError: A metric that the track does not have, or a unit that has two values of one metric.
    """
    names, shown, gallery = all_metrics(track)
    if unknown := sorted(set(frame["metric"]) - set(names)):
        raise BenchError(f"track '{track.name}' has no metric '{unknown[0]}'; expected some of {', '.join(names)}.")
    n = len(frame)
    given = {name: frame[name].to_numpy() for name in frame.columns}
    words = {name: given.get(name, np.full(n, ALL if name == "scope" else "", object)) for name in (*KEYS, *GROUPS)}
    keys = pd.MultiIndex.from_arrays([words[name].astype(str) for name in KEYS])
    rows = keys.unique().sort_values()
    at = rows.get_indexer(keys)
    column = pd.Index(names).get_indexer(pd.Index(given["metric"]))
    if len(np.unique(at * len(names) + column)) < n:
        twice = frame[pd.Series(at * len(names) + column).duplicated().to_numpy()].iloc[0]
        raise BenchError(f"two values of {twice['metric']} for one unit, condition {twice['condition']!r}.")
    first = np.zeros(len(rows), dtype=np.int64)
    first[at[::-1]] = np.arange(n)[::-1]

    def spread(name: str, missing: float | bool) -> NDArray[Any]:
        out = np.full((len(rows), len(names)), missing)
        if name in given:
            out[at, column] = given[name]
        return precision.kept(out)

    blind = sorted(str(name) for name in frame.columns if str(name).startswith(BLIND))
    task = TaskTable(
        metrics=names,
        shown=shown,
        gallery=gallery,
        words={name: words[name][first].astype(object) for name in (*KEYS, *GROUPS)},
        cells=given.get("cells", np.zeros(n, np.int64))[first].astype(np.int64),
        numbers={name: spread(name, np.nan) for name in (*TASK_FIELDS, *blind)},
        draws=dict(task_draws or {}),
    )
    own = {**{name: spread(name, np.nan) for name in OWN_FIELDS}, "degenerate": spread("degenerate", False)}
    return Table(task, own, given.get("fallbacks", np.zeros(n, np.int64))[first].astype(np.int64), dict(draws or {}))


def to_long(table: Table) -> pd.DataFrame:
    """One row per unit, metric and scope, as :func:`from_long` takes them; metrics without a gallery under ``all``."""
    task = table.task
    n, shown = len(task.cells), task.shown
    own = task.words["scope"] == ALL
    kept = (own[:, None] | task.gallery[None, :shown]).ravel()
    columns: dict[str, NDArray[Any]] = {name: np.repeat(task.words[name], shown) for name in (*KEYS, *GROUPS)}
    columns["metric"] = np.tile(np.array(task.metrics[:shown], dtype=object), n)
    for name in (*FIELDS, *(BLIND + answer for answer in task.blind), "degenerate"):
        columns[name] = (task.numbers if name in task.numbers else table.numbers)[name][:, :shown].ravel()
    columns["fallbacks"], columns["cells"] = np.repeat(table.fell_back, shown), np.repeat(task.cells, shown)
    return pd.DataFrame({name: values[kept] for name, values in columns.items()})
