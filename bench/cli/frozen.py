"""``bench frozen``: what a frozen encoder says about held-out cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.run import request_of
from bench.core.errors import BenchError


def frozen(argv: Sequence[str]) -> int:
    """``bench frozen``."""
    found = request_of(argv, "frozen", "Freeze a model's encoder and ask what it says about held-out cells.")
    if found is None:
        return 0
    request, arguments = found
    if request.folds != (0,):
        raise BenchError("bench frozen knows control fold 0 only: boards show no other.")
    from bench.results import everything
    from bench.runner import encoder
    from bench.tracks import registry
    from bench.tracks.representation.run import run_encoder

    paths = []
    for seeds in request.seeds:
        task, embed, spec = encoder.encoder_of(request, seeds)
        paths.append(run_encoder(task, embed, spec, request.out, request.leaderboards, request.force))
    print_boards([request.leaderboards, Path(arguments["published"])], paths)
    everything.regenerate(registry.tracks(), request.leaderboards)
    print(paths[-1], flush=True)
    return 0


def print_boards(folders: Sequence[Path], of: Sequence[Path]) -> None:
    """Print the table of the data set that these records of encoders belong to, over the seeds that they have.

    Args:
        folders: Leaderboards folders to merge, the first one's records winning.
        of: Paths of records, all of one data set.
    """
    from bench.results import leaderboard, records
    from bench.results.board import board
    from bench.tracks.representation.table import show
    from bench.tracks.representation.track import TRACK

    fresh = [records.read(path) for path in of]
    specs = [record.spec for record in fresh]
    found = leaderboard.collect(TRACK, folders, specs[0].dataset)
    same = [item for item in found if item.record.spec.data_hash == specs[0].data_hash]
    chosen = sorted({spec.split_seed for spec in specs})
    for (dataset, split), items in sorted(leaderboard.group(same).items()):
        if split in {spec.split for spec in specs}:
            table = board(items, seeds=chosen)
            table.insert(0, "split", split)
            show(table, dataset, chosen, smoke=fresh[0].evidence == "smoke")
