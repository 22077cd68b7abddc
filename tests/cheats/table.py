"""Scores of all cheats on a board, beside the reference rows that some bounds speak of."""

from __future__ import annotations

from functools import cache

from cheats.boards import Ready
from cheats.registry import cheats
from cheats.scored import Prediction, Score, scored

#: Rows that know something, and the mean: what some cheats are compared with.
REFERENCES = ("model", "additive", "mean")


@cache
def answers(board: Ready) -> dict[str, list[Prediction]]:
    """What each cheat says, and the rows ``model`` and ``additive``: one prediction for each task."""
    rows = {name: [getattr(beside, name) for beside in board.beside] for name in ("model", "additive")}
    for name, cheat in cheats().items():
        pairs = zip(board.data, board.beside, strict=True)
        rows[name] = [cheat.answer(data, *(getattr(beside, use) for use in cheat.uses)) for data, beside in pairs]
    return rows


@cache
def scores(board: Ready) -> dict[str, Score]:
    """Scores of all of these, on one board."""
    return scored(answers(board), board.tasks)
