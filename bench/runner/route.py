"""Where a plan begins and where it is to lead: two states, on a saved model's genes and at its scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.aligned import on_genes, total_of, totals_of
from bench.data.dataset import Dataset
from bench.data.features.bank import shorten
from bench.data.logs import LOG1P, form_of
from bench.data.state import read_state
from bench.data.task import load_cells
from bench.runner.home import SavedModel, controls_by_context

#: Start cells from which candidates are predicted, at most.
START_CELLS = 32
#: With fewer cells, a note says that the goal is not well known.
FEW = 20
#: Totals over the model's genes that are so many times apart are of other normalisations: strong perturbations of the
#: built-in and of the Norman screen move them by up to 6. Above the smaller number a note says so.
APART, NOTED = 8.0, 2.0


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


def route_of(model: SavedModel, target: Any, start: Any) -> tuple[Route, list[str]]:
    """Read both states, and what there is to say of them.

    Raises:
        BenchError: Missing genes, no counts, another form or normalisation, or states that cannot be told apart. The
            message names the file, where one was given.
    """
    genes, total = model.described.genes, model.described.normalised_to
    goal = read_state(target, "target")
    if start is None:
        begin, context = _own_controls(model)
        rows = controls_by_context(begin, 10**9)[context]
        x = on_genes(begin, genes, total)[rows]
    else:
        begin, context = read_state(start, "start"), "start"
        x = on_genes(begin, genes, total)
    z = on_genes(goal, genes, total)
    given = [(goal, z), *([] if start is None else [(begin, x)])]
    said = [line for cells, _ in given for line in _form(cells.name, cells)]
    said += [line for cells, on_own in ((goal, z), (begin, x)) for line in _empty(cells.name, on_own)]
    if total is None:
        for cells, on_own in given:
            _refuse_own_total(cells.name, on_own, len(genes))
        said += _level(goal.name, z, x)
    values = [np.asarray(each.todense(), dtype=np.float64) for each in (x, z)]
    means = [each.mean(axis=0) for each in values]
    noise = sum(float(each.var(axis=0, ddof=1).sum()) / len(each) for each in values)
    if ((means[0] - means[1]) ** 2).sum() <= noise:
        raise BenchError(
            f"{_called('start', begin)} ({len(values[0])} cells) and {_called('target', goal)} ({len(values[1])} "
            f"cells) cannot be told apart: their means differ by no more than the noise of their cells. Give other "
            f"cells, or more of them."
        )
    if len(values[1]) < FEW:
        said.append(f"the target has {len(values[1])} cells: with so few, its state is not well known")
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.permutation(len(values[0]))[:START_CELLS])
    return Route(values[0][drawn].astype(np.float32), means[0], means[1], noise, context), said


def _called(role: str, cells: Dataset) -> str:
    """A state by what it is for, and by its file, where it has one."""
    return role if cells.name == role else f"{role} {cells.name}"


def _empty(name: str, x: sp.csr_matrix) -> list[str]:
    """Refuse cells without any count over the model's genes, which are no state; name some among others.

    Raises:
        BenchError: None of them has any.
    """
    cells, genes = x.shape
    empty = int((np.diff(x.indptr) == 0).sum())
    if empty == cells:
        raise BenchError(
            f"{name}: none of its {cells} cells has a count in any of the model's {genes} genes: that is no state of a "
            f"cell. Give cells in which these genes were measured."
        )
    said = f"{name}: {empty} of its {cells} cells have no count in any of the model's {genes} genes: filter them out"
    return [said] if empty else []


def _form(what: str, cells: Dataset) -> list[str]:
    """Refuse cells in another form than log1p of scaled counts, where their counts tell which; else say so.

    Raises:
        BenchError: Another logarithm, none, or two.
    """
    form = form_of(cells.x)
    if form in (None, LOG1P):
        return []
    if not form:
        return [
            f"{what}: the values are no log1p of scaled counts, of which a cell has multiples: smoothed, corrected or "
            f"scaled ones are no state that a model was fitted on"
        ]
    raise BenchError(
        f"{what}: the values are {form}, and the model takes log1p of normalised counts. Give these, or the counts."
    )


def _refuse_own_total(what: str, x: sp.csr_matrix, n_genes: int) -> None:
    """Refuse cells that were normalised over the model's genes, where those of the model were over more.

    Raises:
        BenchError: They were.
    """
    if (own := total_of(x)) is not None:
        raise BenchError(
            f"{what}: its cells add up to {own:,.0f} over the model's {n_genes} genes, and those that the model was "
            f"fitted on do not: they were normalised over more genes. Give the counts of all genes that were "
            f"measured, or values that were normalised over them."
        )


def _level(what: str, target: sp.csr_matrix, start: sp.csr_matrix) -> list[str]:
    """Compare what cells add up to over the model's genes, before the log, where they were normalised over others.

    Cells without any count are not looked at; :func:`_empty` has refused states that have no others.

    Raises:
        BenchError: Another total, or one over other genes.
    """
    levels = [float(np.median(sums[sums > 0])) for sums in (totals_of(target), totals_of(start))]
    times = levels[0] / levels[1]
    seen = f"its cells add up to {times:.3g} times what those of the start do over the model's genes"
    if not 1 / APART < times < APART:
        raise BenchError(
            f"{what}: {seen} ({levels[0]:,.0f} and {levels[1]:,.0f}), as if one were normalised to another total or "
            f"over fewer genes. Give the counts of all genes that were measured, or both normalised in one way."
        )
    return (
        [] if 1 / NOTED < times < NOTED else [f"{what}: {seen}: a state far from the start, or another normalisation"]
    )


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
