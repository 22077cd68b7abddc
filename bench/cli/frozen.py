"""``bench frozen``: how well perturbations are recognised from a frozen encoder's embeddings of held-out cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.run import request_of
from bench.core.errors import BenchError

_DESCRIPTION = (
    "Pretrain a model's encoder (or load it from a finished run), freeze it, embed cells of test conditions, and print "
    "how well their perturbations can be recognised from the embeddings, beside principal components, a random "
    "projection and shuffled labels. The model's response head is not used."
)


def frozen(argv: Sequence[str]) -> int:
    """``bench frozen``."""
    found = request_of(argv, "frozen", _DESCRIPTION)
    if found is None:
        return 0
    request, arguments = found
    if request.folds != (0,):
        raise BenchError(
            "bench frozen evaluates on control fold 0 only, the only fold on its boards; leave out --control-fold."
        )
    from bench.runner import encoder
    from bench.tracks.representation import board
    from bench.tracks.representation.run import run_encoder

    paths = []
    for seeds in request.seeds:
        task, embed, spec = encoder.encoder_of(request, seeds)
        paths.append(run_encoder(task, embed, spec, request.out, request.leaderboards, request.force))
    print_boards([request.leaderboards, Path(arguments["published"])], paths)
    board.regenerate(request.leaderboards)
    print(paths[-1], flush=True)
    return 0


def print_boards(folders: Sequence[Path], of: Sequence[Path]) -> None:
    """Print the table of the data set that these records of encoders belong to, over the seeds that they have.

    Args:
        folders: Leaderboards folders to merge, the first one's records winning.
        of: Paths of records, all of one data set.
    """
    from bench.tracks.representation import board
    from bench.tracks.representation import record as frozen_record
    from bench.tracks.representation.table import show

    fresh = [frozen_record.read(path) for path in of]
    specs = [record.spec for record in fresh]
    items = [
        item
        for item in board.collect(folders, specs[0].dataset)
        if item.record.spec.split in {spec.split for spec in specs}
        and (item.record.spec.data_hash, item.record.protocol_version)
        == (specs[0].data_hash, fresh[0].protocol_version)
    ]
    chosen = sorted({spec.split_seed for spec in specs})
    for dataset, group in board.group(items).items():
        show(board.board(group, chosen), dataset, chosen, smoke=fresh[0].evidence == "smoke")
