"""What the train cells say of a perturbation in other contexts: shifts for answers that do not know the context.

Where whole contexts are held out, tested perturbations have train units elsewhere, and to remember them is no knowledge
of the context. Of a perturbation that has none the train mean is what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.conditions import identity
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.stats.differential import Bools
from bench.stats.shifts import train_mean

#: Name of the answer, and of those that add what the context's own train units have in common.
SAME, TWO_WAY = "same_perturbation", "two_way_sum"
#: How much of that is added, in percent: all of it, or less, as it is the mean of a few noisy units.
SHARES = (100, 75, 50, 25)


def means_elsewhere(shifts: Floats, learned: Sequence[Unit], asked: Sequence[Unit]) -> tuple[Floats, Bools]:
    """Mean shift of each unit's perturbation over train units of other contexts ``[A, G]``, and who has one ``[A]``.

    ``A+B`` is ``B+A``; a compound's dose and time are part of what it is.

    Args:
        shifts: Of train units, each from the input cells of its own context ``[U, G]``.
        learned: These units.
        asked: Units to answer for.
    """
    rows: dict[frozenset[str], list[int]] = {}
    for i, unit in enumerate(learned):
        rows.setdefault(identity(unit.perturbation), []).append(i)
    out, known = np.zeros((len(asked), shifts.shape[1])), np.zeros(len(asked), dtype=np.bool_)
    for a, unit in enumerate(asked):
        mine = [i for i in rows.get(identity(unit.perturbation), ()) if learned[i].context != unit.context]
        if mine:
            out[a], known[a] = shifts[mine].mean(axis=0), True
    return out, known


def contexts_own(shifts: Floats, learned: Sequence[Unit], tested: Sequence[Unit]) -> Floats | None:
    """What a context's train units have in common beyond the same perturbations elsewhere ``[T, G]``.

    The mean over train units j of the unit's context c of d_jc - b_j, where b_j is the mean shift of j in other
    contexts: means that are plainly added would count the grand mean twice. Two-way additive model: Tukey 1949.

    Args:
        shifts: Of train units ``[U, G]``.
        learned: These units.
        tested: Test units.

    Returns:
        ``None`` where a context has no train unit that is train elsewhere too.
    """
    means, known = means_elsewhere(shifts, learned, learned)
    left = shifts - means
    own: dict[str, Floats] = {}
    for context in dict.fromkeys(unit.context for unit in tested):
        mine = [i for i, unit in enumerate(learned) if known[i] and unit.context == context]
        if not mine:
            return None
        own[context] = left[mine].mean(axis=0)
    return np.array([own[unit.context] for unit in tested])


def elsewhere(shifts: Floats, learned: Sequence[Unit], tested: Sequence[Unit]) -> dict[str, Floats]:
    """Shifts of test units as those know them who do not look at the state of their context, by answer ``[T, G]``.

    Args:
        shifts: Of train units ``[U, G]``.
        learned: These units.
        tested: Test units.

    Returns:
        Nothing where every tested perturbation is new to all other contexts, as in a task of one context; where some
        are, the train mean stands for these.
    """
    same, known = means_elsewhere(shifts, learned, tested)
    if not known.any():
        return {}
    same[~known] = train_mean(shifts)
    own = contexts_own(shifts, learned, tested)
    if own is None:
        return {SAME: same}
    return {SAME: same, **{f"{TWO_WAY}_{share}": same + share / 100 * own for share in SHARES}}
