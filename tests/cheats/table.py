"""Scores of all cheats on a board, beside the reference rows that some bounds speak of."""

from __future__ import annotations

from cheats.boards import Ready
from cheats.registry import Cheat, cheats
from cheats.scored import Score, scored

#: Rows that know something, and the mean: what some cheats are compared with.
REFERENCES = ("model", "additive", "mean")


def scores(board: Ready) -> dict[str, Score]:
    """All cheats, and ``model`` and ``additive``."""
    rows = {name: [getattr(beside, name) for beside in board.beside] for name in ("model", "additive")}

    def answers(cheat: Cheat) -> list[object]:
        pairs = zip(board.data, board.beside, strict=True)
        return [cheat.answer(data, *(getattr(beside, use) for use in cheat.uses)) for data, beside in pairs]

    return scored({**rows, **{name: answers(cheat) for name, cheat in cheats().items()}}, board.tasks)
