"""``bench frozen``: how well perturbations are recognised from a frozen encoder's embeddings of held-out cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.output import print_table
from bench.cli.run import config_of
from bench.core.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

_DESCRIPTION = (
    "Pretrain a model's encoder (or load it from a finished run), freeze it, embed cells of test conditions, and print "
    "how well their perturbations can be recognised from the embeddings, beside principal components, a random "
    "projection and shuffled labels. The model's response head is not used."
)


def frozen(argv: Sequence[str]) -> int:
    """``bench frozen``."""
    found = config_of(argv, "frozen", _DESCRIPTION)
    if found is None:
        return 0
    config, flags = found
    if config.folds != (0,):
        raise BenchError(
            "bench frozen evaluates on control fold 0 only, the only fold on its boards; leave out --control-fold."
        )
    from bench.core.console import note
    from bench.results import everything
    from bench.runner import encoder
    from bench.tracks import registry
    from bench.tracks.representation.run import run_encoder

    paths = []
    for seeds in config.seeds:
        task, embed, spec = encoder.encoder_of(config, seeds)
        paths.append(run_encoder(task, embed, spec, config.out, config.leaderboards, config.force))
    folders = [config.leaderboards, Path(flags["published"])]
    in_table = print_table(lambda: tables(folders, paths)[0], flags)
    if not in_table:
        print_boards(folders, paths)
    everything.regenerate(registry.tracks(), config.leaderboards)
    if in_table:
        note(str(paths[-1]))
    else:
        print(paths[-1], flush=True)
    return 0


def tables(folders: Sequence[Path], of: Sequence[Path]) -> tuple[pd.DataFrame, str, list[int], bool]:
    """The table of the data set that these records of encoders belong to, over the seeds that they have.

    Args:
        folders: Leaderboards folders to merge, the first one's records winning.
        of: Paths of records, all of one data set.

    Returns:
        The table, the data set's name, the seeds, and whether the data are too small for any claim.
    """
    import pandas as pd

    from bench.results import leaderboard, records
    from bench.results.board import board
    from bench.tracks.representation.track import TRACK

    fresh = [records.read(path) for path in of]
    specs = [record.spec for record in fresh]
    found = leaderboard.collect(TRACK, folders, specs[0].dataset)
    same = [item for item in found if item.record.spec.data_hash == specs[0].data_hash]
    chosen = sorted({spec.split_seed for spec in specs})
    made = []
    for (_, split), items in sorted(leaderboard.group(same).items()):
        if split in {spec.split for spec in specs}:
            table = board(items, seeds=chosen)
            table.insert(0, "split", split)
            made.append(table)
    return pd.concat(made, ignore_index=True), specs[0].dataset, chosen, fresh[0].evidence == "smoke"


def print_boards(folders: Sequence[Path], of: Sequence[Path]) -> None:
    """Print the table of :func:`tables`."""
    from bench.tracks.representation.table import show

    table, dataset, seeds, smoke = tables(folders, of)
    show(table, dataset, seeds, smoke=smoke)
