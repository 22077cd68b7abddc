"""Three ways to find the candidates that a model predicts to come nearest to a goal, by what they cost.

``exhaustive``: the model is called for every candidate. ``surrogate``: it is called for every single perturbation, and
for the combinations whose summed shifts come nearest. ``gradient``: the goal is followed through the model to a
continuous action, and the model is called for the candidates whose actions are nearest to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import constituents, single, treatment_of
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.runner.home import SavedModel
from bench.runner.route import Route

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel

Search = Literal["exhaustive", "surrogate", "gradient"]
SEARCHES: tuple[Search, ...] = ("exhaustive", "surrogate", "gradient")
#: Candidates for which the model itself is called, after a cheaper look at all of them.
SHORTLIST = 500
#: Candidates that are predicted at once: bounds memory.
BLOCK = 2_048
#: Points from which gradients are followed, steps from each, and their length in SDs of the candidates' actions.
STARTS, STEPS, RATE = 8, 40, 0.1
#: Candidates from which it is taken where and how far apart actions are.
SAMPLE = 2_048

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Projection:
    """What a search by gradients loses on its way back from the best action to a candidate.

    Attributes:
        free: Distance to the goal at the best continuous action.
        nearest: Distance to the goal of the candidate whose action is nearest to it.
        away: How far these two actions are apart, in units of the distance between two candidates' actions (median).
    """

    free: float
    nearest: float
    away: float


@dataclass(frozen=True)
class Shortlist:
    """Candidates for which the model is to be called, and what it took to choose them.

    Attributes:
        names: The candidates.
        calls: Predictions that were made to choose them.
        projection: Of a search by gradients.
    """

    names: list[str]
    calls: int = 0
    projection: Projection | None = None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Candidates in the order of their predicted distance, as many as are looked at.

    Attributes:
        names: ``[n]``.
        means: Predicted mean expression ``[n, G]``.
        after: Distance to the goal ``[n]``.
    """

    names: list[str]
    means: Floats
    after: Floats


def shortlist(model: SavedModel, route: Route, names: Sequence[str], search: Search | None, most: int) -> Shortlist:
    """Choose for which candidates the model is called.

    Args:
        model: Who is asked.
        route: Start and goal.
        names: Candidates, of each of which something is known.
        search: One of the three; absent = the surrogate, of more than ``most`` pairs, else all.
        most: Candidates that are chosen.

    Raises:
        BenchError: A search that is none, or that this model cannot serve.
    """
    if search is not None and search not in SEARCHES:
        raise BenchError(f"search '{search}': expected one of {', '.join(SEARCHES)}.")
    if search == "gradient":
        return _by_gradient(model, route, names, most)
    combined = any(len(constituents(name)) > 1 for name in names)
    if search == "surrogate" and combined and len(names) > most:
        return _by_sums(model, route, names, most)
    return Shortlist(list(names))


def best_of(model: SavedModel, route: Route, names: Sequence[str], most: int) -> Outcomes:
    """Call the model for candidates, and keep those that come nearest.

    Args:
        model: Who is asked.
        route: Start and goal.
        names: Candidates.
        most: How many are kept.
    """
    kept = Outcomes([], np.empty((0, len(route.goal))), np.empty(0))
    for i in range(0, len(names), BLOCK):
        block = list(names[i : i + BLOCK])
        means = from_start(route, model.restored(tuple(block), (route.context,)), range(len(block)))
        means, after = np.concatenate([kept.means, means]), np.concatenate([kept.after, route.distance(means)])
        order = np.argsort(after, kind="stable")[:most]
        together = [*kept.names, *block]
        kept = Outcomes([together[j] for j in order.tolist()], means[order], after[order])
    return kept


def from_start(route: Route, restored: PerturbationModel, which: Sequence[int]) -> Floats:
    """Predicted mean expression of candidates, from all start cells by the shift of those that are used ``[C, G]``.

    Raises:
        BenchError: NaN or infinity.
    """
    import torch

    means = restored.predict_means(torch.from_numpy(route.cells), which, 0).numpy()
    if not np.isfinite(means).all():
        raise BenchError("the model predicts NaN or infinity from these start cells.")
    return np.asarray(means - route.cells.mean(axis=0, dtype=np.float64) + route.start)


def summed_distances(vectors: Floats, way: Floats, members: Rows) -> Floats:
    """Squared distance to a goal of sums of vectors ``[C]``: ``|sum v - w|^2`` from products of all pairs of vectors.

    Args:
        vectors: ``[N, K]``.
        way: The goal ``[K]``.
        members: Vectors of each sum ``[C, A]``; -1 = none.
    """
    products = vectors @ vectors.T
    own = np.append(np.diag(products) - 2 * vectors @ way, 0.0)  # the last stands for none
    products = np.pad(products, ((0, 1), (0, 1)))
    total = own[members].sum(axis=1) + way @ way
    for a in range(members.shape[1]):
        for b in range(a):
            total += 2 * products[members[:, a], members[:, b]]
    return np.asarray(total)


def _parts(names: Sequence[str]) -> tuple[list[str], Rows]:
    """The single perturbations that candidates are made of, and which of them each holds ``[C, A]``; -1 = none."""
    held = [[single(gene, treatment_of(name)) for gene in constituents(name)] for name in names]
    parts = sorted({part for each in held for part in each})
    place = {part: i for i, part in enumerate(parts)}
    members = np.full((len(names), max(map(len, held))), -1, dtype=np.int64)
    for i, each in enumerate(held):
        members[i, : len(each)] = [place[part] for part in each]
    return parts, members


def _by_sums(model: SavedModel, route: Route, names: Sequence[str], most: int) -> Shortlist:
    parts, members = _parts(names)
    means = from_start(route, model.restored(tuple(parts), (route.context,)), range(len(parts)))
    square = summed_distances(means - route.start, route.goal - route.start, members)
    nearest = np.argpartition(square, most)[:most]
    return Shortlist([names[i] for i in np.sort(nearest).tolist()], len(parts))


def _by_gradient(model: SavedModel, route: Route, names: Sequence[str], most: int) -> Shortlist:
    """Follow the gradient of the squared distance from several actions, and take the candidates nearest to its ends.

    Actions are the summed ones of a candidate, those of all networks side by side. Adam (Kingma and Ba 2015).

    Raises:
        BenchError: The model is no function of a continuous action.
    """
    import torch

    parts, members = _parts(names)
    steered = model.restored(tuple(parts), (route.context,)).steered(
        torch.from_numpy(route.cells), range(len(parts)), 0
    )
    if steered is None:
        raise BenchError(
            f"search 'gradient': what '{model.described.model}' predicts here does not follow from the sum of the "
            f"actions alone, so that there is nothing to be followed; choose 'exhaustive' or 'surrogate'."
        )
    actions = steered.actions.detach()
    rng = np.random.default_rng(0)
    some = torch.from_numpy(members[rng.permutation(len(names))[:SAMPLE]])
    summed = torch.cat([actions, torch.zeros_like(actions[:1])])[some].sum(dim=1)
    free = torch.cat([summed.mean(dim=0, keepdim=True), summed[: STARTS - 1]]).requires_grad_(True)
    moved = torch.from_numpy(route.start - route.cells.mean(axis=0, dtype=np.float64))
    goal = torch.from_numpy(route.goal)
    spread = float(summed.var(dim=0, correction=0).mean().sqrt()) or 1.0
    optimiser = torch.optim.Adam([free], lr=RATE * spread)
    for _ in range(STEPS):
        optimiser.zero_grad()
        (steered.outcome(free) + moved - goal).square().sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        ends = route.distance((steered.outcome(free) + moved).numpy())
    vectors = actions.double().numpy()
    away = np.stack([summed_distances(vectors, end, members) for end in free.detach().double().numpy()])
    nearest = np.argsort(away.min(axis=0), kind="stable")[:most]
    best = int(np.argmin(ends))
    at = int(np.argmin(away[best]))
    chosen = best_of(model, route, [names[at]], 1)
    typical = _typical(summed.double().numpy(), rng)
    loss = Projection(float(ends[best]), float(chosen.after[0]), float(np.sqrt(max(away[best, at], 0.0)) / typical))
    return Shortlist([names[i] for i in np.sort(nearest).tolist()], len(free) * (STEPS + 1), loss)


def _typical(actions: Floats, rng: np.random.Generator) -> float:
    """Median distance between two candidates' actions; 1 where they are all the same."""
    a, b = (actions[rng.integers(0, len(actions), 1_000)] for _ in range(2))
    distances = np.linalg.norm(a - b, axis=1)
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0
