"""``bench frozen``: how well perturbations are recognised from a frozen encoder's embeddings of held-out cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.output import print_table, tell
from bench.cli.run import config_of

_DESCRIPTION = (
    "Pretrain a model's encoder (or load it from a finished run), freeze it, embed cells of test conditions, and print "
    "how well their perturbations can be recognised from the embeddings, beside principal components, a random "
    "projection and shuffled labels. The model's response head is not used. Latents of any other tool come from a file."
)


def frozen(argv: Sequence[str]) -> int:
    """``bench frozen``."""
    found = config_of(argv, "frozen", _DESCRIPTION)
    if found is None:
        return 0
    config, flags = found
    from bench.core.console import note
    from bench.reports.merged import merged
    from bench.reports.text import print_boards
    from bench.results import everything
    from bench.runner import by_track
    from bench.runner.embed import pretraining_said
    from bench.tracks import registry

    paths = by_track.run(registry.by_verb("frozen"), config)
    folders = [config.leaderboards, Path(flags["published"])]
    in_table = print_table(lambda: merged(folders, paths)[0], flags)
    if not in_table:
        print_boards(folders, paths)
    for line in pretraining_said(paths):
        note(line)
    everything.regenerate(registry.tracks(), config.leaderboards)
    if in_table:
        note(str(paths[-1]))
    else:
        tell(paths[-1])
    return 0
