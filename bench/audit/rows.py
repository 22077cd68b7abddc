"""Checks of rows: facts of their task, and their metrics from kept predictions, computed a second time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.audit import data_sets
from bench.audit.bootstraps import Bootstraps, lacking
from bench.audit.compare import FROM_CELLS, INFLUENCE, KEPT, SPREAD, UNRESOLVED, Tolerance, difference
from bench.audit.floors import Floors
from bench.audit.records import Inspection, subject
from bench.audit.report import METRIC, Check, failed, passed
from bench.audit.second import controls, scores
from bench.audit.second.agreeing import Agreeing
from bench.audit.second.blind import Answer, blind_answers
from bench.audit.second.truth import Cells, Truth, measure
from bench.data.task import Task
from bench.results.entries import BoardEntry
from bench.results.tables import ALL

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
#: What a track must measure for its rows to be judged here.
METRICS = frozenset({"pearson_delta", "pearson_delta_pert_ref", "discrimination", "interaction_r"})
#: What a unit gets in these metrics because of the prediction.
CENTRES = {
    **dict.fromkeys(("pearson_delta", "pearson_delta@20", "pearson_delta_z", "pearson_delta_pert_ref"), 0.0),
    **dict.fromkeys(("signed_rank_z", "spearman_de", "calibration_slope"), 0.0),
    **dict.fromkeys(("interaction_r", "epistasis_r", "epistasis_kept_r"), 0.0),
    **dict.fromkeys(("discrimination", "discrimination_raw", "direction_accuracy"), 0.5),
}
_DRAWN_AGAIN = "bootstraps drawn again"
#: Relative distance to the truth under which a prediction is the truth.
COPY = 0.05
#: The same between two rows: what keeping predictions may leave.
SAME = 0.005


@dataclass(eq=False)
class Judge:
    """Facts of a task, by which its rows are judged.

    Attributes:
        cells: Of the task.
        truth: What the units did, measured a second time ``[T]``.
        order: Place among its units of each unit of a record's values ``[T]``.
        noise: What predictions carry that saw the reference controls.
        folder: Leaderboards folder, for names.
        seen: Learned rows so far, with their predictions.
    """

    cells: Cells
    truth: Truth
    order: NDArray[np.int64]
    noise: controls.Noise
    folder: Path
    seen: list[tuple[BoardEntry, Floats]] = field(default_factory=list)

    def facts(self, entry: BoardEntry, what: str) -> Check:
        """Compare a task's floors and replicate with those computed here."""
        return Floors(self.truth, self._blind, self.order, entry).check(what)

    @cached_property
    def _blind(self) -> dict[str, Answer]:
        return blind_answers(self.cells, self.truth)

    @cached_property
    def _agreeing(self) -> Agreeing:
        return Agreeing(self.truth)

    def agrees(self, entry: BoardEntry) -> str:
        """Say which values of a row cannot be, whatever it predicted (empty = none): nothing need be kept of it."""

        def of(field_: str) -> dict[str, Floats]:
            out = np.argsort(self.order)  # from the record's order to the task's
            return {name: values[out] for name, values in _recorded(entry, field_).items()}

        values, halves, flags = of("value"), of("half_value"), of("degenerate")
        for mine, facts, names in (
            (values, of("floor"), KEPT),
            (halves, of("half_replicate"), dict.fromkeys(scores.FAMILIES)),
        ):
            for name in [name for name in names if name in mine]:
                if (odd := np.isfinite(mine[name]) != np.isfinite(facts[name])).any():
                    return f"{name}: the cells alone say which units have a value, and {int(odd.sum())} do otherwise"
        for name, centre in CENTRES.items():
            if name in values and (values[name][flags[name] > 0] != centre).any():
                return f"{name}: a unit that is recorded to be at chance is not"
        return self._agreeing.odd(values, halves, flags)

    @cached_property
    def _bootstraps(self) -> Bootstraps:
        return Bootstraps(self.cells, self.truth, self.order)

    def changes(self, entry: BoardEntry, what: str) -> Check:
        """Compare what bootstraps do to a task's replicate, and to the answers of its floor."""
        return _told(_DRAWN_AGAIN, what, *self._bootstraps.of_task(entry, self._blind), "changes of means")

    def row(self, entry: BoardEntry, d_hat: Floats) -> Iterator[Check]:
        """Check one row by its predicted shifts ``[T, G]``, in the order of the task's units."""
        name = subject(entry, self.folder)
        yield _told("metrics recomputed", name, *self.metrics(entry, d_hat), "values")
        none = self._none(self._unresolved(entry, d_hat))
        yield _told(_DRAWN_AGAIN, name, *self._bootstraps.of_row(entry, d_hat, none), "changes of means")
        yield self._no_copy(entry, name, d_hat)
        if entry.record.honest:
            warned = any("noise of the reference controls" in line for line in entry.record.warnings)
            said = "" if warned else self.noise.carried(d_hat)
            check = "reference controls unseen"
            yield failed(check, name, METRIC, said) if said else passed(check, name)

    def metrics(self, entry: BoardEntry, d_hat: Floats, share: float = 1.0) -> tuple[str, int]:
        """Compare a row's metrics with those of its predicted shifts ``[T, G]``.

        Args:
            entry: The row.
            d_hat: In the order of the task's units.
            share: How much of each tolerance is allowed.

        Returns:
            What differs, in words (empty = nothing), and how many values were compared.
        """
        unresolved = self._unresolved(entry, d_hat)
        computed = self._ordered(scores.everything(self.truth, d_hat))
        worst, n = difference(_recorded(entry, "value"), computed, KEPT, unresolved, share, SPREAD)
        if worst:
            return worst, n
        halves = self._ordered(scores.on_halves(self.truth, lambda half: d_hat))
        worst, m = difference(_recorded(entry, "half_value"), halves, KEPT, unresolved, share, SPREAD)
        worst = f"against halves of the cells, {worst}" if worst else self._galleries(entry, d_hat, unresolved, share)
        return worst, n + m

    def _ordered(self, values: dict[str, Floats]) -> dict[str, Floats]:
        return {name: each[self.order] for name, each in values.items()}

    def _unresolved(self, entry: BoardEntry, d_hat: Floats) -> dict[str, Floats]:
        """What units have that are recorded to be at a metric's centre, and are there as far as kept numbers tell.

        Returns:
            The centre, NaN of other units, by metric ``[T]``.
        """
        truth, found = self.truth, scores.Scores(self.truth, d_hat)

        def small(part: Floats, whole: Floats) -> Bools:
            return np.asarray((part**2).mean(axis=1) <= UNRESOLVED**2 * (whole**2).mean(axis=1))

        def apart(rows: NDArray[np.int64], part: Floats) -> Bools:
            out = np.ones(len(d_hat), dtype=np.bool_)
            out[rows] = small(part, d_hat[rows])
            return out

        flags = entry.values.field(ALL, "degenerate")
        place = {metric: m for m, metric in enumerate(entry.values.metrics)}
        w = truth.scored
        # What contexts differ by is 0 by construction in an answer that is the same in all of them.
        rows, mine, _ = found.interactions
        # So is what a sum of the singles, or a multiple of the common shift, says beyond them.
        beyond = apart(truth.beyond.sums.units, found.claimed)
        at = {
            "discrimination": small(w * (d_hat - truth.train_delta), w * d_hat),
            "pearson_delta_pert_ref": small(w * (d_hat - truth.train_y + truth.c_in), w * d_hat),
            "interaction_r": apart(rows, mine),
            "epistasis_r": beyond,
            "epistasis_kept_r": beyond,
        }
        return {
            metric: np.where(near[self.order] & flags[:, place[metric]], CENTRES[metric], np.nan)
            for metric, near in at.items()
        }

    def _none(self, unresolved: dict[str, Floats]) -> Bools:
        """Units of the task whose prediction is at the centre of identity, as far as kept numbers tell ``[T]``."""
        none = np.zeros(len(self.order), dtype=np.bool_)
        none[self.order] = np.isfinite(unresolved["discrimination"])
        return none

    def _galleries(self, entry: BoardEntry, d_hat: Floats, unresolved: dict[str, Floats], share: float) -> str:
        """Identity within each subgroup, which is a gallery of its own, and what units move its mean by."""
        values, halves = entry.values, [scores.Scores(self.truth, d_hat, half) for half in range(len(self.truth.y))]
        place = list(values.metrics).index("discrimination")
        none = self._none(unresolved)
        for scope, (rows, own) in values.task.scopes.items():
            if own is None and scope != ALL:
                continue
            units, where = self.order[rows], f"within {scope}, "
            level, moved = halves[0].contests(units, none=none)
            asked: list[tuple[str, Floats, Mapping[str, Tolerance], dict[str, Floats]]]
            asked = [("influence", moved, INFLUENCE, {})]
            if scope != ALL:
                beside = {"discrimination": unresolved["discrimination"][rows]}
                against = np.mean([half.identity(units) for half in halves[1:]], axis=0)
                asked += [("value", level, KEPT, beside), ("half_value", against, KEPT, beside)]
            for field_, computed, tolerances, centres in asked:
                recorded = {"discrimination": values.column(scope, field_, place)}
                again = {"discrimination": computed}
                if worst := difference(recorded, again, tolerances, centres, share, SPREAD)[0]:
                    return f"{where if scope != ALL else ''}{field_}: {worst}"
        return ""

    def _no_copy(self, entry: BoardEntry, name: str, d_hat: Floats) -> Check:
        """Whether a prediction is the truth itself, or that of another learned row."""
        check, scored = "predictions are the row's own", self.truth.scored
        d = self.truth.y[0] - self.truth.c_ref
        far, size = (np.sqrt((np.where(scored, shift, 0.0) ** 2).sum(axis=1)) for shift in (d_hat - d, d))
        if (far <= COPY * size).all():
            return failed(check, name, METRIC, "they are the truth, but for what rounding leaves")
        if entry.record.learned:
            own = _recorded(entry, "value")
            for other, shift in self.seen:
                # Two rows that fell back to the same answer have its predictions, and its values.
                alike = np.linalg.norm(shift - d_hat) <= SAME * np.linalg.norm(d_hat)
                if alike and difference(_recorded(other, "value"), own, FROM_CELLS)[0]:
                    return failed(check, name, METRIC, f"the same as those of {subject(other, self.folder)}")
            self.seen.append((entry, d_hat))
        return passed(check, name)


def _told(check: str, what: str, worst: str, n: int, of: str) -> Check:
    return failed(check, what, METRIC, worst) if worst else passed(check, what, f"{n} {of}")


def look(folder: Path, found: Inspection, entries: Sequence[BoardEntry], task: Task, what: str) -> Iterator[Check]:
    """Check the records of one task that have values by unit."""
    scored = entries[0].values.task.units[ALL]
    if {tuple(unit) for unit in scored} != {tuple(unit) for unit in task.units}:
        return  # the check of units says so
    judge = judge_of(task, entries[0], folder)
    yield judge.facts(entries[0], what)
    yield judge.changes(entries[0], what)
    for entry in entries:
        if why := lacking(entry):
            yield failed(_DRAWN_AGAIN, subject(entry, folder), METRIC, why)
    odd = {subject(entry, folder): why for entry in entries if (why := judge.agrees(entry))}
    for label in {entry.record.spec.label for entry in entries}:
        first, *others = (entry for entry in entries if entry.record.spec.label == label)
        for entry in others:
            # For whom a model has no answer follows from what it is trained on, not from how it was trained.
            if not np.array_equal(entry.values.fallbacks(ALL), first.values.fallbacks(ALL)):
                odd[subject(entry, folder)] = "it fell back on other units than under another training seed"
    for name, why in odd.items():
        yield failed("values agree with each other", name, METRIC, why)
    if not odd:
        yield passed("values agree with each other", what, f"{len(entries)} records")
    genes = task.dataset.genes.tolist()
    for entry in entries:
        kept = found.predictions.get(entry.path)
        if kept is None or entry.record.run_id not in kept.shifts:
            continue
        d_hat = by_name(kept.genes, kept.shifts[entry.record.run_id], genes, judge.order)
        if d_hat is None:
            why = "its predictions are of other genes or units than the data's"
            yield failed("genes by name", subject(entry, folder), METRIC, why)
        else:
            yield from judge.row(entry, d_hat)


def judge_of(task: Task, entry: BoardEntry, folder: Path) -> Judge:
    """Measure a task a second time.

    Args:
        task: The task.
        entry: One of its records, whose values are of the task's units.
        folder: Leaderboards folder, for names.
    """
    units = {tuple(unit): i for i, unit in enumerate(task.units)}
    cells = data_sets.cells_of(task)
    truth = measure(cells)
    order = np.array([units[tuple(unit)] for unit in entry.values.task.units[ALL]], dtype=np.int64)
    return Judge(cells, truth, order, controls.Noise(cells, truth), folder)


def by_name(names: Sequence[str], shift: Floats, genes: list[str], order: NDArray[np.int64]) -> Floats | None:
    """Predicted shifts in the order of the task's units and the data's genes; ``None`` where they are of others.

    Args:
        names: Genes of the columns.
        shift: In the order of a record's values ``[T, G]``.
        genes: Of the data.
        order: Place among the task's units of each unit of the record's values ``[T]``.
    """
    column = {gene: i for i, gene in enumerate(names)}
    if set(column) != set(genes) or len(shift) != len(order):
        return None
    out = np.empty_like(shift)
    out[order] = shift[:, [column[gene] for gene in genes]]
    return out


def _recorded(entry: BoardEntry, field: str) -> dict[str, Floats]:
    block = entry.values.field(ALL, field)
    return {name: block[:, m] for m, name in enumerate(entry.values.metrics)}
