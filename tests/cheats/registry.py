"""Every way that we know to earn a score without knowledge: each file in ``answers`` declares its own in ``CHEATS``.

To add a cheat is to add a file. A cheat takes what is exported of a task (see :mod:`cheats.exported`), and returns
expression means ``[T, G]`` of the test units, or cells ``[T, n, G]``. The few that need more say so in ``uses``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cheats.scored import Score

#: (score of the cheat, scores of the reference rows by name) -> what is wrong, or nothing.
Bound = Callable[[Score, Mapping[str, Score]], str]
#: A blend of blind answers may have this mean skill: what a floor chosen from a list leaves.
BLEND = 0.03
#: The margin of a family's skill: what rounding, and setting expression below 0 to 0, may change.
SLACK = 0.03


def blind(own: Score, others: Mapping[str, Score]) -> str:
    """Mean skill at or under 0 within its interval."""
    low = own.low if np.isfinite(own.low) else own.skill
    return f"skill {own.skill:.3f} is clear of 0: from {low:.3f}" if low > 0 else ""


def blend(own: Score, others: Mapping[str, Score]) -> str:
    """Mean skill at or under .03."""
    return f"skill {own.skill:.3f} is above {BLEND}" if own.skill > BLEND else ""


def size_only(own: Score, others: Mapping[str, Score]) -> str:
    """No family but size is above 0 by more than the margin, and clear of it."""
    clear = [n for n, value in own.families.items() if n != "size" and value > SLACK and own.family_low[n] > 0]
    return "; ".join(
        f"{name} {own.families[name]:.3f} is clear of 0: from {own.family_low[name]:.3f}" for name in clear
    )


def strength_only(own: Score, others: Mapping[str, Score]) -> str:
    """Neither pattern nor DE is above 0 by more than the margin, and clear of it.

    Who knows how strong each condition is earns the size family, and identity too: less the mean shift, a multiple of
    it points with the strong conditions or against them.
    """
    clear = [n for n in ("pattern", "DE") if own.families.get(n, 0.0) > SLACK and own.family_low[n] > 0]
    return "; ".join(
        f"{name} {own.families[name]:.3f} is clear of 0: from {own.family_low[name]:.3f}" for name in clear
    )


def size_only_beside(row: str) -> Bound:
    """No family but size is above that of a reference row.

    Pattern and DE do not know a factor; identity subtracts the train mean at its own size, so that a factor may move
    it within its interval.
    """

    def bound(own: Score, others: Mapping[str, Score]) -> str:
        best = others[row].families
        scaled = {name: own.family_low[name] if name == "identity" else own.families[name] - SLACK for name in best}
        gains = [name for name in best if name != "size" and scaled[name] > best[name]]
        return "; ".join(f"{name} {own.families[name]:.3f} is above {row}'s {best[name]:.3f}" for name in gains)

    return bound


def below_zero(own: Score, others: Mapping[str, Score]) -> str:
    """Mean skill under 0."""
    return f"skill {own.skill:.3f} is not below 0" if own.skill >= 0 else ""


def below(row: str) -> Bound:
    """Mean skill under that of a reference row."""

    def bound(own: Score, others: Mapping[str, Score]) -> str:
        best = others[row].skill
        return f"skill {own.skill:.3f} is not below {row}'s {best:.3f}" if own.skill >= best else ""

    return bound


def at_most(*rows: str) -> Bound:
    """Mean skill at most that of the best of some reference rows, and .03."""

    def bound(own: Score, others: Mapping[str, Score]) -> str:
        best = max([0.0, *(others[row].skill for row in rows if np.isfinite(others[row].skill))])
        return f"skill {own.skill:.3f} is above {best:.3f} + {BLEND}" if own.skill > best + BLEND else ""

    return bound


def same_as(row: str) -> Bound:
    """Every family at most that of a reference row: what was added earns nothing."""

    def bound(own: Score, others: Mapping[str, Score]) -> str:
        best = others[row].families
        gains = [n for n in own.families if own.families[n] > best[n] + 1e-6]
        return "; ".join(f"{name} {own.families[name]:.4f} is above {row}'s {best[name]:.4f}" for name in gains)

    return bound


@dataclass(frozen=True)
class Cheat:
    """One answer that must not pay.

    Attributes:
        name: What the table calls it.
        answer: ``(exported data, what it uses beside) -> [T, G]`` or ``[T, n, G]``.
        bound: What its score may be.
        uses: Attributes of :class:`cheats.boards.Beside` that it is given beside the exported data: ``model``
            (predictions of a good model), ``additive``, ``true_size`` (an oracle: from the test cells).
    """

    name: str
    answer: Callable[..., NDArray[np.float64]]
    bound: Bound = blind
    uses: tuple[str, ...] = ()


@cache
def cheats() -> dict[str, Cheat]:
    """All cheats by name."""
    folder = Path(__file__).parent / "answers"
    modules = [importlib.import_module(f"cheats.answers.{found.name}") for found in pkgutil.iter_modules([str(folder)])]
    listed = [cheat for module in modules for cheat in module.CHEATS]
    by_name = {cheat.name: cheat for cheat in listed}
    if len(by_name) < len(listed):
        raise ValueError("two cheats have one name")
    return by_name
