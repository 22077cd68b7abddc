"""Which wells are alike and which are not: pairs as copairs finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.core.errors import BenchError
from bench.tracks.matching.precision import Pairs

#: Name of the column that holds lists of labels.
LABELS = "labels"


@dataclass(frozen=True, eq=False)
class Paired:
    """Pairs of rows.

    Attributes:
        labels: Label of each kind of positive pairs.
        positives: Pairs ``[P, 2]`` of each.
        negatives: Pairs ``[M, 2]``.
    """

    labels: tuple[str, ...]
    positives: list[Pairs]
    negatives: Pairs

    @property
    def counts(self) -> tuple[int, int]:
        """Positive and negative pairs."""
        return sum(map(len, self.positives)), len(self.negatives)


def matching() -> Any:
    """The module of copairs that finds pairs.

    Raises:
        BenchError: copairs is not installed.
    """
    try:
        from copairs import matching as found
    except ImportError as error:
        raise BenchError(
            "matching profiles needs copairs, which is not installed. Install it with: "
            "pip install 'perturb-ssl-bench[profiles]'."
        ) from error
    return found


def single_label(
    meta: pd.DataFrame,
    pos_sameby: Sequence[str],
    neg_sameby: Sequence[str],
    neg_diffby: Sequence[str],
    pos_diffby: Sequence[str] = (),
    asked: Sequence[int] | None = None,
) -> Paired:
    """Pairs by columns that hold one label each.

    Args:
        meta: One row per profile, index 0, 1, ...
        pos_sameby: What positive pairs have in common.
        neg_sameby: What negative pairs have in common.
        neg_diffby: In what each negative pair differs.
        pos_diffby: In what each positive pair differs.
        asked: Rows whose positive pairs are asked for; absent = all.
    """
    find = matching().find_pairs
    among = meta if asked is None else meta.iloc[list(asked)]
    positives = _sorted(find(among, list(pos_sameby), list(pos_diffby)))
    negatives = _sorted(find(meta, list(neg_sameby), list(neg_diffby)))
    return Paired(("",), [positives], negatives)


def multi_label(meta: pd.DataFrame, pos_diffby: Sequence[str] = (), neg_diffby: Sequence[str] = ()) -> Paired:
    """Pairs by the lists of labels in the column :data:`LABELS`: alike with a label in common, unlike with none.

    Args:
        meta: One row per profile, index 0, 1, ...; a list in every row.
        pos_diffby: In what else each positive pair differs.
        neg_diffby: In what else each negative pair differs.
    """
    find = matching().find_pairs_multilabel
    pairs, _, _ = find(meta, sameby=[LABELS], diffby=list(pos_diffby), multilabel_col=LABELS)
    lists = [set(labels) for labels in meta[LABELS]]
    by_label: dict[str, list[tuple[int, int]]] = {}
    # Which labels a pair shares is read from the lists: the query gives pairs and labels apart, in orders of their own.
    for a, b in _sorted(np.unique(pairs, axis=0)).tolist():
        for label in lists[a] & lists[b]:
            by_label.setdefault(label, []).append((a, b))
    labels = tuple(sorted(by_label))
    negatives = find(meta, sameby=[], diffby=[LABELS, *neg_diffby], multilabel_col=LABELS)
    return Paired(labels, [_sorted(by_label[name]) for name in labels], _sorted(np.unique(negatives, axis=0)))


def _sorted(pairs: Pairs | list[tuple[int, int]]) -> Pairs:
    """Pairs in one order, whatever the order of the query's threads."""
    rows = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]
