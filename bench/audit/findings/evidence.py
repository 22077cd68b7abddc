"""What claims about a benchmark are computed from: its results one by one, and comparisons said to be true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Artifact:
    """One result: where it is from, and what speaks for or against it. ``None`` = nobody can tell.

    Attributes:
        name: Run id, or file.
        row: Name of its row.
        board: Name of its board.
        seed: Split seed.
        track: Kind of question.
        evidence: ``full``, or ``smoke`` for data too small to carry a claim.
        tested: Units that were scored.
        learned: Units that the model could learn from, or be chosen by.
        missing: Why ``tested`` or ``learned`` is not known.
        declared: Units that are said to be predicted by a fallback.
        shown: How many the board says; ``None`` = this board has no such column, or the record no values.
        like_mean: Units that are scored exactly as the global mean is, though no fallback is declared for them.
        schema: What the result, or the checkpoint behind it, is made of: part by name.
        expected: The same as the code that claims to have made it has it.
        warnings: What speaks against its provenance.
    """

    name: str
    row: str
    board: str
    seed: int = 0
    track: str = ""
    evidence: str = "full"
    tested: frozenset[str] | None = None
    learned: frozenset[str] | None = None
    missing: str = ""
    declared: frozenset[str] = frozenset()
    shown: int | None = None
    like_mean: int = 0
    schema: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contrast:
    """Two rows compared by one metric.

    Attributes:
        metric: Its name.
        sign: 1 = the first row is better, -1 = the second is, 0 = they cannot be told apart.
        difference: First minus second.
    """

    metric: str
    sign: int
    difference: float


@dataclass(frozen=True)
class TrueComparison:
    """A comparison that a claims file says is true.

    Attributes:
        claim: Its name.
        board: The board.
        scope: ``all``, or a part of the board's units.
        better: The row that is said to be better.
        worse: The others.
    """

    claim: str
    board: str
    better: str
    worse: tuple[str, ...]
    scope: str = "all"


@dataclass(frozen=True)
class Evidence:
    """All that is known of a benchmark.

    Attributes:
        artifacts: Its results.
        comparisons: Comparisons that its claims files say are true.
        contrasts: Compares two rows: ``(board, scope, first, second)`` -> a contrast per ranked metric; none where a
            row is not there.
    """

    artifacts: Sequence[Artifact]
    comparisons: Sequence[TrueComparison]
    contrasts: Callable[[str, str, str, str], Sequence[Contrast]]

    def of_rows(self, board: str, rows: Sequence[str]) -> list[Artifact]:
        """The results of some rows of a board."""
        return [one for one in self.artifacts if one.board == board and one.row in rows]
