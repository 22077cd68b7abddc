"""What a task found in a group of wells, or why it found nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.tracks.matching.options import Options
from bench.tracks.matching.pairs import Paired
from bench.tracks.matching.precision import Ints, Precision, rank
from bench.tracks.matching.significance import few_pairs, retrieved

#: Empty, or why a group has no result.
Status = Literal["", "missing", "unpaired", "empty", "no_overlap", "control-limited"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One task in one group.

    Attributes:
        status: See :data:`Status`.
        reason: The same in words.
        labels: What is asked for by the design, gated or not: perturbations, or targets ``[L]``.
        chance: Expected average precision of a random order, before the gate ``[L]``.
        found: By label, those that were looked for after the gate: see
            :func:`bench.tracks.matching.significance.retrieved`.
        ap: Average precision of each profile: see :meth:`bench.tracks.matching.precision.Precision.frame`, with its
            ``perturbation`` and ``profile_modality``, and the ``plate`` and ``well`` of one that is a well.
        counts: What it was made of: wells, controls, perturbations, pairs.
        warnings: What a reader should know.
    """

    status: Status = ""
    reason: str = ""
    labels: tuple[str, ...] = ()
    chance: Floats = field(default_factory=lambda: np.zeros(0))
    found: pd.DataFrame = field(default_factory=pd.DataFrame)
    ap: pd.DataFrame = field(default_factory=pd.DataFrame)
    counts: dict[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def replicable(self) -> frozenset[str]:
        """Labels that were retrieved."""
        if self.found.empty:
            return frozenset()
        return frozenset(self.found.loc[self.found["retrieved"], "label"])


def failed(status: Status, reason: str, counts: dict[str, float | None] | None = None) -> Outcome:
    """An outcome that is an explanation."""
    return Outcome(status=status, reason=reason, counts=counts or {})


def design(ranked: Precision, names: Sequence[str]) -> tuple[tuple[str, ...], Floats]:
    """Labels that are asked for, and what chance is for each.

    Args:
        ranked: Every profile before any gate.
        names: Label of each query ``[Q]``.
    """
    chance = pd.Series(ranked.chance).groupby(np.asarray(names, dtype=object)).mean().sort_index()
    return tuple(map(str, chance.index)), np.array(chance.tolist(), dtype=np.float64)


def names_of(ranked: Precision, paired: Paired) -> list[str]:
    """Label of each query, where labels are those of the pairs."""
    return [paired.labels[group] for group in ranked.group.tolist()]


def judged(
    ranked: Precision, names: Sequence[str], perturbation: Sequence[str], modality: Sequence[str], options: Options
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average precision by profile and by label; both empty without any.

    Args:
        ranked: The profiles.
        names: Label of each query ``[Q]``.
        perturbation: What was done, by row of the profiles.
        modality: By what, by row of the profiles.
        options: How labels are judged.
    """
    if not len(ranked.query):
        return pd.DataFrame(), pd.DataFrame()
    frame = ranked.frame(np.array(names, dtype=object))
    frame["perturbation"] = [perturbation[i] for i in ranked.query.tolist()]
    frame["profile_modality"] = [modality[i] for i in ranked.query.tolist()]
    return frame, retrieved(frame, options)


def among(rows: Sequence[int], x: Floats, paired: Paired, absolute: bool) -> Precision:
    """Rank again with some of the profiles alone: pairs of others go."""
    inside = np.zeros(len(x), dtype=np.bool_)
    inside[list(rows)] = True

    def kept(pairs: Ints) -> Ints:
        return pairs[inside[pairs].all(axis=1)]

    return rank(x, [kept(pairs) for pairs in paired.positives], kept(paired.negatives), absolute)


def outcome_of(
    gated: Precision,
    given: tuple[Sequence[str], Sequence[str], Sequence[str]],
    designed: tuple[tuple[str, ...], Floats],
    passed: int,
    options: Options,
    counts: dict[str, float | None],
) -> Outcome:
    """Judge what is left after the gate; nothing being left is a result too.

    Args:
        gated: Rankings of what passed.
        given: Label of each ranking, and name and modality of each row.
        designed: From :func:`design`.
        passed: How many rows did.
        options: See there.
        counts: Of pairs and of what was gated.
    """
    names, rows, modalities = given
    ap, found = judged(gated, names, rows, modalities, options)
    nothing = not len(gated.query)
    few = "" if nothing else few_pairs(ap, options)
    return Outcome(
        status="unpaired" if nothing else "",
        reason=f"no pair of replicable perturbations ({passed} of {len(rows)} are)" if nothing else "",
        labels=designed[0],
        chance=np.asarray(designed[1]),
        found=found,
        ap=ap,
        counts=counts,
        warnings=(few,) if few else (),
    )
