"""Facts: what several metrics need of a case, computed once.

A *fact* is a pure function of a case that may read only one side of it. Cases with the same truth share the facts of
the truth, cases with the same prediction those of the prediction: a panel scores a model, the floor and a replicate
against eleven views of the truth, and most of its time goes into sorting genes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from bench.tracks.response.metrics.case import Case

Known: TypeAlias = dict[Hashable, Any]
#: `truth` and `prediction` may also read `scored` and what is the same for all conditions; `spread` reads the
#: predicted cells' variance, which a sample shares with every part of it; `both` is for one case alone.
Side: TypeAlias = Literal["truth", "prediction", "spread", "both"]

P = ParamSpec("P")
R = TypeVar("R")


def no_facts() -> dict[Side, Known]:
    """Nothing is known yet."""
    return {"truth": {}, "prediction": {}, "spread": {}, "both": {}}


def fact(side: Side) -> Callable[[Callable[Concatenate[Case, P], R]], Callable[Concatenate[Case, P], R]]:
    """Compute the decorated function of a case (and of hashable positional arguments) once per side.

    Its arrays become read-only: other metrics see the same ones.
    """

    def decorate(compute: Callable[Concatenate[Case, P], R]) -> Callable[Concatenate[Case, P], R]:
        @wraps(compute)
        def once(case: Case, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return recall(case, side, (compute, args), lambda: compute(case, *args, **kwargs))

        return once

    return decorate


def recall(case: Case, side: Side, key: Hashable, compute: Callable[[], R]) -> R:
    """What is known under `key` of one side of a case; computed where it is not."""
    known = case.facts[side]
    if key not in known:
        value = compute()
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
        known[key] = value
    found: R = known[key]
    return found
