"""Whether predictions can be log1p expression: what cannot be is refused, what is only suspicious is named.

The bounds are between what honest models predict and what the same predictions are in another scale (train_mean,
additive, linear, ridge, rrr, knn and the other closed forms on ``simulated``, ``simulated_hard`` and ``norman_slice``,
both control folds, 50 to 1,000 controls; columns are least to most):

======================================  ==============  =================  ==============
quantity                                 honest          shifts, z-scores   expm1
======================================  ==============  =================  ==============
slope of the mean on the input controls  .82 to 1.02     -2.31 to .04       1.2 to 9
share of values below 0                  0 to .16        .31 to .51         0
least value / largest of a train cell    -.6 to 0        -5.5 to -.02       0
largest value / largest of a train cell  .2 to 1.1       0 to 10            .4 to 53
distance, see ``_scale``                 1.03 or more    .5 or more         0 to .94
======================================  ==============  =================  ==============

A linear model extrapolates: means down to -2.1 are honest (ridge and rrr on strong singles) and scored as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.task import Task
from bench.tracks.response.truth.fields import Truth

#: Values are refused below minus, or above twice, the largest value of a train cell.
LOWEST, HIGHEST = -1.0, 2.0
#: Values above this many times the largest value of a train cell are named.
HIGH = 1.25
#: Centred near 0: a slope under this with more than that share of negative values.
MIN_SLOPE, MAX_NEGATIVE = 0.25, 0.2
#: More negative values than this are a scaled table whatever the slope.
MOSTLY_NEGATIVE = 1 / 3
#: Refused, and named, where the mean is this much nearer to transformed controls than to the controls.
CLEARLY, PERHAPS = 0.7, 0.9
#: A slope under this is named.
ODD_SLOPE = 0.75

EXPECTED = "Expected log1p of counts normalised as the data are (X = ln(1 + normalised counts)), around the mean of the"
EXPECTED += " input cells"

#: Other scales: what it is, and what undoes it.
_SCALES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "expm1": ("counts (expm1 of the expression)", "Hand in log1p of them"),
        "log1p": ("expression logged twice", "Hand in expm1 of them"),
        "log2": ("log2 in place of the natural logarithm", "Multiply them by ln 2"),
    }
)


@dataclass(frozen=True)
class Verdict:
    """What is wrong with predictions.

    Attributes:
        refusal: Why they cannot be expression, as a sentence; empty where they can.
        warnings: What is suspicious.
    """

    refusal: str = ""
    warnings: tuple[str, ...] = ()


def largest_learned(task: Task) -> float:
    """The largest value of a train cell or an input control."""
    index = task.dataset.barcode_index
    seen = [index[barcode] for pool in task.split.input_controls.values() for barcode in pool]
    rows = np.concatenate([task.rows("train"), np.array(seen, dtype=np.int64)])
    return float(task.dataset.x[rows].max())


def _transformed(task: Task, facts: Truth, share: Floats, genes: NDArray[np.int64]) -> dict[str, list[Floats]]:
    """The input controls in each other scale: the transformed mean, and the mean of transformed cells ``[E]``."""
    index, mean = task.dataset.barcode_index, share @ _by_context(facts)[:, genes]
    functions: dict[str, Callable[[Floats], Floats]] = {"expm1": np.expm1, "log1p": np.log1p}
    found = {name: [function(mean), np.zeros(len(genes))] for name, function in functions.items()}
    for c, name in enumerate(facts.contexts):
        if share[c]:
            cells = task.dataset.x[[index[b] for b in task.split.input_cells[name]]].astype(np.float64)
            for scale, function in functions.items():
                changed = cells.copy()
                changed.data = function(changed.data)
                found[scale][1] += share[c] * np.asarray(changed.mean(axis=0)).ravel()[genes]
    return {**found, "log2": [mean / np.log(2)]}


def _by_context(facts: Truth) -> Floats:
    """Mean of the input cells by context ``[C, G]``; zeros where a context has no test unit."""
    out = np.zeros((len(facts.contexts), len(facts.genes)))
    out[facts.context] = facts.c_in
    return out


def _scale(task: Task, facts: Truth, mean: Floats, genes: NDArray[np.int64]) -> tuple[str, float]:
    """The scale that the mean prediction ``[E]`` is nearest to, and its distance to it / to the input controls."""
    share = np.bincount(facts.context, minlength=len(facts.contexts)) / len(facts.context)
    distance = max(float(np.linalg.norm(mean - facts.c_in[:, genes].mean(axis=0))), 1e-12)
    ratios = {
        name: min(float(np.linalg.norm(mean - controls)) for controls in forms) / distance
        for name, forms in _transformed(task, facts, share, genes).items()
    }
    name = min(ratios, key=lambda scale: ratios[scale])
    return name, ratios[name]


def judge(task: Task, facts: Truth, y_hat: Floats) -> Verdict:
    """Tell whether predicted means can be log1p expression.

    Args:
        task: The task.
        facts: Its truth.
        y_hat: Predicted means ``[T, G]``.
    """
    genes = np.flatnonzero(facts.expressed)
    if not len(genes):
        return Verdict()
    top = largest_learned(task)
    values = y_hat[:, genes]
    mean, control = values.mean(axis=0), facts.c_in[:, genes].mean(axis=0)
    spread = control - control.mean()
    slope = float(spread @ mean / max(float(spread @ spread), 1e-12))
    negative = float((values < -1e-6 * max(top, 1.0)).mean())
    share = f"{negative:.0%} of the values are below 0"
    lowest = _place(facts, y_hat, int(np.argmin(y_hat)))
    if (slope < MIN_SLOPE and negative > MAX_NEGATIVE) or negative > MOSTLY_NEGATIVE:
        return Verdict(
            f"these look like shifts or z-scores, not expression: {share} (least: {lowest}), and their mean has a "
            f"slope of {slope:.2f} on the input controls, where expression has about 1. {EXPECTED}; add shifts to it, "
            f"or undo the scaling"
        )
    name, ratio = _scale(task, facts, mean, genes)
    what, remedy = _SCALES[name]
    highest = _place(facts, y_hat, int(np.argmax(y_hat)))
    if ratio < CLEARLY and name != "log2":
        return Verdict(f"these look like {what} (largest: {highest}). {EXPECTED}. {remedy}")
    for wrong, text in (
        (y_hat.min() < LOWEST * top, f"{lowest} is far below 0, which no expression is"),
        (y_hat.max() > HIGHEST * top, f"{highest} is far above any train cell (at most {top:.3g})"),
    ):
        if wrong:
            return Verdict(f"{text}. {EXPECTED}. Check for counts, shifts, scaling or a model that diverged")
    warnings = []
    if ratio < PERHAPS:
        warnings.append(f"predictions may be {what}: their mean is nearer to that than to the input controls")
    if negative > MAX_NEGATIVE:
        warnings.append(f"{share}, which log1p expression never is (least: {lowest})")
    if slope < ODD_SLOPE:
        warnings.append(f"the mean prediction has a slope of {slope:.2f} on the input controls; expression has about 1")
    if y_hat.max() > HIGH * top:
        warnings.append(f"{highest} is above any train cell (at most {top:.3g})")
    return Verdict(warnings=tuple(warnings))


def _place(facts: Truth, y_hat: Floats, at: int) -> str:
    """Value, gene and unit at a flat position."""
    t, g = divmod(at, y_hat.shape[1])
    unit = facts.units[t].text(facts.contexts)
    return f"{y_hat[t, g]:.3g} in gene '{facts.genes[g]}' of '{unit}'"
