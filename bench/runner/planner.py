"""A saved model asked what to do: which perturbations does it predict to lead from a start to a target state?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.features.bank import shorten
from bench.runner import known
from bench.runner import searches as ways
from bench.runner.candidate_list import ALL, listed, shown
from bench.runner.home import SavedModel, load_model
from bench.runner.route import Route, route_of
from bench.runner.searches import SHORTLIST, Outcomes, Projection, Search

CAVEAT = (
    "Candidates were predicted, not measured: a short distance says that this model expects the perturbation to lead "
    "there, from these cells. How often such a choice is right says 'bench plan --model'."
)
#: What the columns are, below a table for people.
LEGEND = (
    "before, after: distance from start and from the predicted outcome to the goal; share of the way that is gone, "
    "below 0 = farther off; uncertainty: SD of after over the model's networks; known: features only = in no train "
    "condition, what is predicted rests on features alone."
)
#: Further candidates that a picture shows.
OTHERS = 500


@dataclass(frozen=True, eq=False)
class Plan:
    """A ranked table, and what a figure of it needs.

    Attributes:
        table: See :func:`plan`.
        route: Start and goal.
        means: Predicted outcome of the rows of the table that were predicted ``[n, G]``.
        others: The same of further candidates, for the picture ``[m, G]``.
        calls: Predictions that were asked of the model; of a search by gradients, each step of each point is one.
        considered: Candidates.
        notes: What a reader should know.
        projection: What a search by gradients lost on the way back to a candidate.
    """

    table: pd.DataFrame
    route: Route
    means: Floats
    others: Floats
    calls: int
    considered: int
    notes: tuple[str, ...]
    projection: Projection | None = None


def plan(
    run: str | Path | SavedModel,
    target: Any,
    start: Any = None,
    candidates: str | Path | Sequence[str] = ALL,
    avoid: str | Sequence[str] = (),
    top: int = 20,
    runs: str | Path = "runs",
    *,
    search: Search | None = None,
    doses: str | Sequence[str | float] = (),
    shortlist: int = SHORTLIST,
) -> pd.DataFrame:
    """Rank perturbations by how near a saved model predicts them to come to a target state.

    Args:
        run: Id of a run that was made with ``--save``, a saved model's folder, or the model.
        target: Cells of the goal: an h5ad file or an AnnData; labels are not looked at.
        start: Cells to start from, likewise; absent = control cells of the data that the model was fitted on.
        candidates: ``all`` single perturbations that the model knows, all ``pairs`` of them, a file with a name per
            line, or names (``KLF1``, ``SET+KLF1``, ``JQ1 @ 0.1 uM``; a compound without a dose is asked for at all).
        avoid: Perturbations that no candidate may hold (``KLF1``, ``JQ1 @ 10 uM``); text is cut at commas.
        top: Rows at most.
        runs: Folder of the runs.
        search: ``exhaustive``: call the model for every candidate; ``surrogate``: for those combinations whose singles'
            summed shifts come nearest; ``gradient``: for those whose actions are nearest to the best continuous one.
            Absent = the surrogate, of more pairs than the shortlist has, else exhaustive.
        doses: Of the compounds of a chemical screen, in uM or with a unit; absent = those that it measured. Others can
            be asked for where the dose enters the model's action.
        shortlist: Candidates for which ``surrogate`` and ``gradient`` call the model itself.

    Returns:
        A row per perturbation, the nearest first: ``rank``, ``perturbation``, in a chemical screen ``dose`` and
        ``time``, ``before`` and ``after`` (distance to the goal over the model's genes, log1p units, less what sampling
        noise adds), ``share`` of the way that is predicted to be gone (negative = farther off), ``uncertainty`` (SD of
        ``after`` over the networks of the model, NaN where it has one) and ``known``: ``train``, ``features only`` or
        ``nothing``; of the latter there is no prediction, and they come last. Candidates were predicted, not measured.

    Raises:
        BenchError: States on other genes, of too few cells or that cannot be told apart; no candidates; a search that
            the model cannot serve.
    """
    return solve(
        run, target, start, candidates, avoid, top, runs, search=search, doses=doses, shortlist=shortlist
    ).table


def solve(
    run: str | Path | SavedModel,
    target: Any,
    start: Any = None,
    candidates: str | Path | Sequence[str] = ALL,
    avoid: str | Sequence[str] = (),
    top: int = 20,
    runs: str | Path = "runs",
    *,
    search: Search | None = None,
    doses: str | Sequence[str | float] = (),
    shortlist: int = SHORTLIST,
) -> Plan:
    """As :func:`plan`, with what was done to get there.

    Args:
        run: See :func:`plan`, as for all others.
        target: See there.
        start: See there.
        candidates: See there.
        avoid: See there.
        top: See there.
        runs: See there.
        search: See there.
        doses: See there.
        shortlist: See there.
    """
    for name, value in (("top", top), ("shortlist", shortlist)):
        if value < 1:
            raise BenchError(f"{name} {value}: at least 1 is needed.")
    model = run if isinstance(run, SavedModel) else load_model(run, runs)
    route, notes = route_of(model, target, start)
    knows = known.known_of(model)
    names, said = listed(model, knows, candidates, avoid, doses)
    notes += said
    lost = [name for name in names if knows.of(name) == known.NOTHING]
    nothing = set(lost)
    usable = [name for name in names if name not in nothing]
    if lost:
        which = shorten([" @ ".join(shown(name).values()) for name in lost], 5)
        notes.append(f"the model knows nothing of {len(lost)} of {len(names)} candidates, which are last: {which}")
    if search is None and candidates == "pairs":
        search = "surrogate"
    chosen = ways.Shortlist([])
    if usable:
        chosen = ways.shortlist(model, route, usable, search, shortlist)
    best = ways.best_of(model, route, chosen.names, top + OTHERS)
    n = min(top, len(best.names))
    spread = _spread(model, route, best.names[:n])
    table = _table(route, best, spread, knows, lost[: top - n])
    if chosen.projection:
        notes.append(_lost_by(chosen.projection))
    calls = chosen.calls + len(chosen.names)
    return Plan(
        table, route, best.means[:n], best.means[n:], calls, len(names), tuple(notes), projection=chosen.projection
    )


def _lost_by(projection: Projection) -> str:
    return (
        f"by gradients: the best continuous action comes within {projection.free:.3f} of the goal, the candidate whose "
        f"action is nearest to it within {projection.nearest:.3f}; from one to the other it is {projection.away:.2f} "
        f"times as far as between two candidates"
    )


def _spread(model: SavedModel, route: Route, names: Sequence[str]) -> Floats:
    """SD over the networks of a model of the distance that candidates keep ``[n]``; NaN where there is one."""
    if not names:
        return np.empty(0)
    restored = model.restored(tuple(names), (route.context,))
    which = range(len(names))
    after = np.array([route.distance(ways.from_start(route, one, which)) for one in restored.members()])
    return after.std(axis=0, ddof=1) if len(after) > 1 else np.full(len(names), np.nan)


def _table(route: Route, best: Outcomes, spread: Floats, knows: known.Known, lost: Sequence[str]) -> pd.DataFrame:
    before = float(route.distance(route.start))
    rows: list[dict[str, Any]] = []
    for i in range(len(spread)):
        after = float(best.after[i])
        numbers = {"before": before, "after": after, "share": 1 - after / before, "uncertainty": float(spread[i])}
        rows.append({"rank": i + 1, **shown(best.names[i]), **numbers, "known": knows.of(best.names[i])})
    nothing = {"before": before, "after": np.nan, "share": np.nan, "uncertainty": np.nan, "known": known.NOTHING}
    rows += [{"rank": len(spread) + 1, **shown(name), **nothing} for name in lost]
    table = pd.DataFrame(rows)
    table.attrs["caveat"] = CAVEAT
    return table
