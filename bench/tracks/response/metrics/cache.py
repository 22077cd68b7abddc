"""What several metrics need of an evaluation, computed once.

A cached function is pure, and reads one side of an evaluation only: its truth or its prediction. Evaluations of the
same truth share what is known of the truth, those of the same prediction what is known of the prediction: a model, the
floor and a replicate are scored against eleven views of the truth, and most of that time goes into sorting genes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from bench.tracks.response.metrics.evaluation import Evaluation

Cache: TypeAlias = dict[Hashable, Any]
#: `truth` and `prediction` may also read `scored` and what is the same for all conditions; `spread` reads the
#: predicted cells' variance, which a sample shares with every part of it; `both` is for one evaluation alone.
Side: TypeAlias = Literal["truth", "prediction", "spread", "both"]

P = ParamSpec("P")
R = TypeVar("R")


def empty_cache() -> dict[Side, Cache]:
    """Nothing is known yet."""
    return {"truth": {}, "prediction": {}, "spread": {}, "both": {}}


def cached(side: Side) -> Callable[[Callable[Concatenate[Evaluation, P], R]], Callable[Concatenate[Evaluation, P], R]]:
    """Compute the decorated function of an evaluation (and of hashable positional arguments) once per side.

    Its arrays become read-only: other metrics see the same ones.
    """

    def decorate(compute: Callable[Concatenate[Evaluation, P], R]) -> Callable[Concatenate[Evaluation, P], R]:
        @wraps(compute)
        def once(evaluation: Evaluation, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return lookup(evaluation, side, (compute, args), lambda: compute(evaluation, *args, **kwargs))

        return once

    return decorate


def lookup(evaluation: Evaluation, side: Side, key: Hashable, compute: Callable[[], R]) -> R:
    """What is known under `key` of one side of an evaluation; computed where it is not there."""
    known = evaluation.cache[side]
    if key not in known:
        value = compute()
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
        known[key] = value
    found: R = known[key]
    return found
