"""Answers of planning that look at no query, a second time: orders of candidates by what anybody may know of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.audit.second import planning
from bench.audit.second.planning import Answer, Values
from bench.audit.second.questions import USUAL, Questions

Floats = NDArray[np.float64]

#: Metrics that skill is made from.
FAMILIES = (f"e1_mrr_{USUAL}", f"e2_mrr_{USUAL}", f"e3_mrr_{USUAL}", "e4_regret", "e5_regret")
#: Numbers that differ by less are the same.
DECIMALS = 9


def blind_answers(one: Questions, by: dict[str, float]) -> dict[str, Values]:
    """What each answer scores in the metrics of families ``[T]``, by name.

    Args:
        one: The questions of a context.
        by: From :func:`~bench.audit.second.planning.scales`.
    """
    return {
        name: {metric: values for metric, values in _scored(one, who, by).items() if metric in FAMILIES}
        for name, who in _answers(one).items()
    }


def _scored(one: Questions, who: Answer, by: dict[str, float]) -> Values:
    return planning.recovered(one, who, (USUAL,)) | planning.regrets(one, who, by)


def _answers(one: Questions) -> dict[str, Answer]:
    asked = one.asked
    far = _distances(one)
    # Who is train stands first, then of whose genes more are seen alone in train.
    known = [(bool(train), int(seen)) for train, seen in zip(asked.train, asked.seen, strict=True)]
    new = [(not train, -seen) for train, seen in known]
    near = [-size for size in far]
    keys: dict[str, list[tuple[float, ...]]] = {
        "chance": [() for _ in far],
        "largest": [(size,) for size in far],
        "smallest": [(size,) for size in near],
        "seen": [(*key,) for key in known],
        "unseen": [(*key,) for key in new],
        "unseen_largest": [(*key, size) for key, size in zip(new, far, strict=True)],
        "unseen_smallest": [(*key, size) for key, size in zip(new, near, strict=True)],
    }
    out = {name: planning.fixed(one, _places(key)) for name, key in keys.items()}
    numbers = np.array([len(genes) for genes in asked.learned])
    if len(np.unique(numbers)) > 1:
        out["number"] = _by_number(one, numbers)
    return out


def _distances(one: Questions) -> list[float]:
    """How far each candidate is known to go, by train singles of its genes; by their mean where a gene has none."""
    found: dict[str, list[float]] = {}
    for genes, shift in zip(one.asked.learned, one.trained, strict=True):
        if len(genes) == 1:
            found.setdefault(next(iter(genes)), []).append(float(np.linalg.norm(shift)))
    known = {gene: float(np.mean(sizes)) for gene, sizes in found.items()}
    usual = float(np.mean(list(known.values()))) if known else 1.0
    far = [sum(known.get(gene, usual) ** 2 for gene in sorted(genes)) for genes in one.asked.genes]
    return [round(float(np.sqrt(square)), DECIMALS) for square in far]


def _places(keys: list[tuple[float, ...]]) -> Floats:
    """How many different keys are below each ``[C]``."""
    place = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([place[key] for key in keys], dtype=np.float64)


def _by_number(one: Questions, numbers: NDArray[np.int64]) -> Answer:
    """The mean shift of train units with as many perturbed genes; of all where none has."""
    means = {int(n): one.trained[numbers == n].mean(axis=0) for n in np.unique(numbers)}
    at = np.stack([means.get(len(genes), one.centre) for genes in one.asked.genes])
    known = np.ones(len(at), dtype=np.bool_)
    return Answer(lambda d: at, lambda d: at[one.asked.pairs], known, known[one.asked.pairs], one.centre)
