"""A saved model asked what to do: which perturbations does it predict to lead from a start to a target state?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.core.conditions import constituents, identity, written
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.aligned import on_genes
from bench.data.dataset import Dataset
from bench.data.features.bank import shorten
from bench.data.state import read_state
from bench.data.task import load_cells
from bench.runner import known
from bench.runner.home import SavedModel, controls_by_context, load_model

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel

CAVEAT = (
    "Candidates were predicted, not measured: a short distance says that this model expects the perturbation to lead "
    "there, from these cells. How often such a choice is right says 'bench plan --model'."
)
#: Start cells from which candidates are predicted, at most.
START_CELLS = 32
#: Pairs for which the model itself is called, after their sums were looked at.
SHORTLIST = 500
ALL, PAIRS = "all", "pairs"


@dataclass(frozen=True, eq=False)
class Route:
    """Where one is and where one wants to be, over the model's genes.

    Attributes:
        cells: Start cells ``[B, G]``, float32.
        start: Mean of all start cells ``[G]``.
        goal: Mean of the target cells ``[G]``.
        noise: Sampling variance of both means, summed over genes.
        context: Context of the start cells.
    """

    cells: Any
    start: Floats
    goal: Floats
    noise: float
    context: str

    def distance(self, means: Floats) -> Floats:
        """Distance of states ``[..., G]`` to the goal, less what the noise of both means adds."""
        return np.asarray(np.sqrt(np.maximum(((means - self.goal) ** 2).sum(axis=-1) - self.noise, 0.0)))


@dataclass(frozen=True, eq=False)
class Plan:
    """A ranked table, and what a figure of it needs.

    Attributes:
        table: See :func:`plan`.
        route: Start and goal.
        means: Predicted outcome of the rows of the table that were predicted ``[n, G]``.
        others: The same of further candidates, for the picture ``[m, G]``.
        calls: Candidates for which the model was called.
        considered: Candidates.
        notes: What a reader should know.
    """

    table: pd.DataFrame
    route: Route
    means: Floats
    others: Floats
    calls: int
    considered: int
    notes: tuple[str, ...]


def plan(
    run: str | Path | SavedModel,
    target: Any,
    start: Any = None,
    candidates: str | Path | Sequence[str] = ALL,
    avoid: str | Sequence[str] = (),
    top: int = 20,
    runs: str | Path = "runs",
) -> pd.DataFrame:
    """Rank perturbations by how near a saved model predicts them to come to a target state.

    Args:
        run: Id of a run that was made with ``--save``, a saved model's folder, or the model.
        target: Cells of the goal: an h5ad file or an AnnData; labels are not looked at.
        start: Cells to start from, likewise; absent = control cells of the data that the model was fitted on.
        candidates: ``all`` single perturbations that the model knows, all ``pairs`` of them, a file with a name per
            line, or names (``KLF1``, ``SET+KLF1``).
        avoid: Genes that no candidate may perturb; text is cut at commas.
        top: Rows at most.
        runs: Folder of the runs.

    Returns:
        A row per perturbation, the nearest first: ``rank``, ``perturbation``, ``before`` and ``after`` (distance to the
        goal over the model's genes, log1p units, less what sampling noise adds), ``share`` of the way that is predicted
        to be gone (negative = farther off), ``uncertainty`` (SD of ``after`` over the networks of the model, NaN where
        it has one) and ``known``: ``train``, ``features only`` or ``nothing``; of the latter there is no prediction,
        and they come last. Candidates were predicted, not measured.

    Raises:
        BenchError: States on other genes, of too few cells or that cannot be told apart; no candidates.
    """
    return search(run, target, start, candidates, avoid, top, runs).table


def search(
    run: str | Path | SavedModel,
    target: Any,
    start: Any = None,
    candidates: str | Path | Sequence[str] = ALL,
    avoid: str | Sequence[str] = (),
    top: int = 20,
    runs: str | Path = "runs",
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
        shortlist: Pairs for which the model itself is called.
    """
    if top < 1:
        raise BenchError(f"top {top}: at least 1 row is needed.")
    model = run if isinstance(run, SavedModel) else load_model(run, runs)
    route, notes = _route(model, target, start)
    knows = known.known_of(model)
    left_out = set(avoid.replace(" ", "").split(",")) if isinstance(avoid, str) else set(avoid)
    if candidates == PAIRS:
        pairs = [pair for pair in knows.pairs() if not set(pair) & left_out]
        names, considered = _shortlisted(model, route, pairs, knows, shortlist), len(pairs)
        calls = len(names) + (len({gene for pair in pairs for gene in pair}) if len(pairs) > shortlist else 0)
    else:
        asked = knows.singles() if candidates == ALL else _named(model, candidates)
        names = [name for name in asked if not set(constituents(name)) & left_out]
        considered = calls = len(names)
    if not names:
        raise BenchError(
            f"no candidates left{' after --avoid' if left_out else ''}: the model knows {len(knows.genes)} "
            f"perturbations ({shorten(list(map(written, knows.genes)), 5)})."
        )
    usable = [name for name in names if knows.of(name) != known.NOTHING]
    lost = [name for name in names if knows.of(name) == known.NOTHING]
    if lost:
        notes.append(
            f"{len(lost)} candidates of which the model knows nothing are last: {shorten(list(map(written, lost)), 5)}"
        )
        calls -= len(lost)
    means, after, spread = _outcomes(model, route, usable, top)
    order = np.argsort(after, kind="stable")
    best = order[:top].tolist()
    table = _table(route, [usable[i] for i in best], after[best], spread, knows, lost[: top - len(best)])
    others = means[order[top : top + 500]]
    return Plan(table, route, means[best], others, calls, considered, tuple(notes))


def _route(model: SavedModel, target: Any, start: Any) -> tuple[Route, list[str]]:
    """Read both states, on the model's genes and at its scale.

    Raises:
        BenchError: Missing genes, or states that cannot be told apart.
    """
    genes, total = model.described.genes, model.described.normalised_to
    goal = read_state(target, "target")
    if start is None:
        begin, context = _own_controls(model)
        cells = controls_by_context(begin, 10**9)[context]
        x = on_genes(begin, genes, total)[cells]
    else:
        begin, context = read_state(start, "start"), "start"
        x = on_genes(begin, genes, total)
    z = on_genes(goal, genes, total)
    values = [np.asarray(each.todense(), dtype=np.float64) for each in (x, z)]
    means = [each.mean(axis=0) for each in values]
    noise = sum(float(each.var(axis=0, ddof=1).sum()) / len(each) for each in values)
    if ((means[0] - means[1]) ** 2).sum() <= noise:
        raise BenchError(
            f"start ({len(values[0])} cells) and target ({len(values[1])} cells) cannot be told apart: their means "
            f"differ by no more than the noise of their cells. Give other cells, or more of them."
        )
    said = []
    if len(values[1]) < 20:
        said.append(f"the target has {len(values[1])} cells: with so few, its state is not well known")
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(values[0]))[:START_CELLS])
    return Route(values[0][rows].astype(np.float32), means[0], means[1], noise, context), said


def _own_controls(model: SavedModel) -> tuple[Dataset, str]:
    """Control cells of the data that a model was fitted on.

    Raises:
        BenchError: They are not at hand, or of several contexts.
    """
    name = str(model.described.run["dataset"])
    if len(model.described.contexts) > 1:
        raise BenchError(
            f"start: the data of this model are of {len(model.described.contexts)} contexts "
            f"({shorten(list(model.described.contexts), 3)}). Give the cells to start from by --start."
        )
    try:
        return load_cells(name), model.described.contexts[0]
    except BenchError as error:
        raise BenchError(f"start: {error} Give the cells to start from by --start.") from error


def _named(model: SavedModel, candidates: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Candidates by name, or a name per line of a file.

    Raises:
        BenchError: No such file, or no name.
    """
    if isinstance(candidates, str | Path):
        path = Path(candidates)
        if not path.is_file():
            raise BenchError(
                f"candidates '{candidates}': expected 'all', 'pairs', or a text file with a perturbation per line."
            )
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"{path}: not a text file with a perturbation per line ({type(error).__name__})."
            ) from error
        words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not words:
            raise BenchError(f"{path}: no candidates: expected a perturbation per line, such as KLF1 or SET+KLF1.")
        candidates = words
    return model.names(list(candidates))


def _shortlisted(
    model: SavedModel, route: Route, pairs: Sequence[tuple[str, str]], knows: known.Known, most: int
) -> list[str]:
    """The pairs that come nearest if the shifts of their singles add up; all of them where they are few."""
    from bench.core.conditions import single

    names = ["+".join(pair) for pair in pairs]
    if knows.kept is not None:
        spelled = {identity(name): name for name in knows.kept}
        names = [spelled[frozenset(pair)] for pair in pairs]
    if len(pairs) <= most:
        return names
    genes = sorted({gene for pair in pairs for gene in pair})
    means = _predicted(model, route, [single(gene) for gene in genes])
    at = {gene: i for i, gene in enumerate(genes)}
    index = np.array([(at[a], at[b]) for a, b in pairs])
    square = summed_distances(means - route.start, route.goal - route.start)[index[:, 0], index[:, 1]]
    nearest = np.argpartition(square, most)[:most]
    return [names[i] for i in np.sort(nearest).tolist()]


def summed_distances(shifts: Floats, way: Floats) -> Floats:
    """Squared distance to the goal of every sum of two shifts ``[N, N]``.

    ``|a + b - w|^2 = |a|^2 + |b|^2 + |w|^2 + 2 ab - 2 aw - 2 bw``

    Args:
        shifts: ``[N, G]``.
        way: From start to goal ``[G]``.
    """
    own = (shifts**2).sum(axis=1) - 2 * shifts @ way
    return np.asarray(own[:, None] + own + 2 * shifts @ shifts.T + way @ way)


def _predicted(model: SavedModel, route: Route, names: Sequence[str]) -> Floats:
    """Predicted mean expression of candidates, from all start cells by the shift of those that are used ``[C, G]``."""
    return _from_start(route, model.restored(tuple(names), (route.context,)), range(len(names)))


def _from_start(route: Route, restored: PerturbationModel, which: Sequence[int]) -> Floats:
    import torch

    means = restored.predict_means(torch.from_numpy(route.cells), which, 0).numpy()
    if not np.isfinite(means).all():
        raise BenchError("the model predicts NaN or infinity from these start cells.")
    return np.asarray(means - route.cells.mean(axis=0, dtype=np.float64) + route.start)


def _outcomes(model: SavedModel, route: Route, names: Sequence[str], top: int) -> tuple[Floats, Floats, Floats]:
    """Predicted means ``[C, G]`` and distances ``[C]`` of candidates, and the spread of the best over networks."""
    if not names:
        return np.empty((0, len(route.goal))), np.empty(0), np.empty(0)
    restored = model.restored(tuple(names), (route.context,))
    means = _from_start(route, restored, range(len(names)))
    after = route.distance(means)
    best = np.argsort(after, kind="stable")[:top].tolist()
    by_network = np.array([route.distance(_from_start(route, one, best)) for one in restored.members()])
    nothing = np.full(len(best), np.nan)
    return means, after, by_network.std(axis=0, ddof=1) if len(by_network) > 1 else nothing


def _table(
    route: Route, names: Sequence[str], after: Floats, spread: Floats, knows: known.Known, lost: Sequence[str]
) -> pd.DataFrame:
    before = float(route.distance(route.start))
    rows = [
        {
            "rank": i + 1,
            "perturbation": _text(name),
            "before": before,
            "after": float(after[i]),
            "share": 1 - float(after[i]) / before,
            "uncertainty": float(spread[i]),
            "known": knows.of(name),
        }
        for i, name in enumerate(names)
    ]
    nothing = {"before": before, "after": np.nan, "share": np.nan, "uncertainty": np.nan, "known": known.NOTHING}
    rows += [{"rank": len(names) + 1, "perturbation": _text(name), **nothing} for name in lost]
    table = pd.DataFrame(rows)
    table.attrs["caveat"] = CAVEAT
    return table


def _text(name: str) -> str:
    """A perturbation as people write it: its genes."""
    return written("+".join(constituents(name)))
