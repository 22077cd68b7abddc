"""Which part of a benchmark a claim is about."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from bench.audit.findings.evidence import Artifact, Evidence, TrueComparison
from bench.results.claim import listed

Words = Annotated[tuple[str, ...], BeforeValidator(listed)]


class Scope(BaseModel):
    """Results that a claim is about; what is left out does not matter.

    Attributes:
        tracks: Kinds of question.
        boards: Names of boards, ``<track>/<dataset>__<split>``.
        but: Boards that it is not about.
        rows: Row labels; a predicate about two rows needs two.
        metrics: Metrics.
        evidence: ``full`` = boards that may carry claims; ``smoke`` = those that only show rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracks: Words = ()
    boards: Words = ()
    but: Words = ()
    rows: Words = ()
    metrics: Words = ()
    evidence: Literal["full", "smoke"] | None = None

    def artifacts(self, evidence: Evidence) -> list[Artifact]:
        """The results that it is about."""
        return [one for one in evidence.artifacts if self._holds(one)]

    def boards_of(self, evidence: Evidence) -> list[str]:
        """The boards that it is about."""
        return list(dict.fromkeys(one.board for one in self.artifacts(evidence)))

    def comparisons(self, evidence: Evidence) -> list[TrueComparison]:
        """The comparisons that it is about."""
        boards = set(self.boards_of(evidence))
        return [one for one in evidence.comparisons if one.board in boards]

    def _holds(self, one: Artifact) -> bool:
        wanted = ((self.tracks, one.track), (self.boards, one.board), (self.rows, one.row))
        held = all(not names or name in names for names, name in wanted) and one.board not in self.but
        return held and self.evidence in (None, one.evidence)
