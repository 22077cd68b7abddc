"""The table of a track that shows all splits of a data set at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.results import leaderboard, records
from bench.results.board import board
from bench.tracks import registry


def merged(folders: Sequence[Path], of: Sequence[Path]) -> tuple[pd.DataFrame, str, list[int], bool]:
    """The table of the data set that these records belong to, all splits in one, over the seeds that they have.

    Args:
        folders: Leaderboards folders to merge, the first one's records winning.
        of: Paths of records, all of one track and one data set.

    Returns:
        The table, the data set's name, the seeds, and whether the data are too small for any claim.
    """
    fresh = [records.read(path) for path in of]
    specs = [record.spec for record in fresh]
    track = registry.get(fresh[0].track)
    found = leaderboard.collect(track, folders, specs[0].dataset)
    same = [item for item in found if item.record.spec.data_hash == specs[0].data_hash]
    chosen = sorted({spec.split_seed for spec in specs})
    made = []
    for (_, split), items in sorted(leaderboard.group(same).items()):
        if split in {spec.split for spec in specs}:
            used = [item.record for item in items if item.record.spec.split_seed in chosen]
            table = track.board(used) if track.board else board(items, seeds=chosen)
            table.insert(0, "split", split)
            made.append(table)
    return pd.concat(made, ignore_index=True), specs[0].dataset, chosen, fresh[0].evidence == "smoke"
