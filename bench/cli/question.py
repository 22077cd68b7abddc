"""What verbs of tracks have in common: fit a model, or freeze its encoder, and print the board.

A track whose verb has no file of its own here is asked by :func:`ask` as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.flags import AddFlags
from bench.cli.output import print_table, tell
from bench.cli.run import config_of, configs_of
from bench.core.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

    from bench.core.track import Track, View
    from bench.runner.config import RunConfig

#: What a command line that names a model can give a track.
TAKEN = ("predictions", "candidates", "encoder")


def track_of(verb: str) -> Track | None:
    """The track that :func:`ask` can be asked for by a verb."""
    from bench.tracks import registry

    return next((track for track in registry.tracks() if track.verb == verb and track.takes in TAKEN), None)


def ask(track: Track, argv: Sequence[str], description: str = "") -> int:
    """Do what a command line says, for a track.

    Args:
        track: Takes one of :data:`TAKEN`.
        argv: Words after its verb.
        description: What the verb does; absent = what the track asks.

    Returns:
        The exit code.
    """
    found = _read(track, argv, description or track.question)
    if found is None:
        return 0
    configs, flags = found
    view = _view(track, flags.get("task"), configs)
    from bench.core.console import note
    from bench.reports.merged import merged
    from bench.reports.text import print_boards
    from bench.results import everything
    from bench.runner import by_track
    from bench.runner.embed import pretraining_said
    from bench.tracks import registry

    paths = [path for config in configs for path in by_track.run(track, config)]
    folders = [configs[0].leaderboards, Path(flags["published"])]

    def table() -> pd.DataFrame:
        whole = merged(folders, paths)[0]
        return whole if view is None else whole[track.columns_about(view, map(str, whole))]

    in_table = print_table(table, flags)
    if not in_table:
        print_boards(folders, paths, None if view is None else track.about(view))
    for line in pretraining_said(paths):
        note(line)
    everything.regenerate(registry.tracks(), configs[0].leaderboards)
    if in_table:
        note(str(paths[-1]))
    else:
        tell(paths[-1])
    return 0


def _read(track: Track, argv: Sequence[str], description: str) -> tuple[list[RunConfig], dict[str, Any]] | None:
    """The configurations that a command line names, and its flags; of encoders it names one."""
    more = _task_flag(track) if track.views else None
    if track.takes != "encoder":
        return configs_of(argv, track.verb, description, more)
    found = config_of(argv, track.verb, description, more)
    return None if found is None else ([found[0]], found[1])


def _task_flag(track: Track) -> AddFlags:
    def add(parser: Any) -> None:
        parser.add_argument(
            "--task",
            default=None,
            help=f"{', '.join(track.views)}: show one task in detail, in place of skill; all are done (default: all, "
            "in short)",
        )

    return add


def _view(track: Track, named: str | None, configs: Sequence[RunConfig]) -> View | None:
    """What a table is about; None = all.

    Raises:
        BenchError: No such task, or one that these splits do not ask.
    """
    if named is None:
        return None
    view = track.views.get(task := named.upper())
    if view is None:
        known = ", ".join(track.views)
        raise BenchError(f"--task '{named}': expected one of {known}; without it, the table shows all.")
    for config in configs if view.in_new_contexts else ():
        if not _holds_contexts_out(config):
            raise BenchError(
                f"--task {task} asks in contexts that were held out, and this split of {config.data} holds none out: "
                f"add --split unseen_context."
            )
    return view


def _holds_contexts_out(config: RunConfig) -> bool:
    """Whether a configuration's split holds contexts out; of lists of one's own the data say it."""
    from bench.data.load import resolve
    from bench.data.splits.kinds import asked
    from bench.data.task import load_task

    kind = asked(config.split or resolve(config.data)[0].split).kind
    if kind.name != "custom":
        return kind.by_context
    task = load_task(config.data, config.split, config.seeds[0][0], config.folds[0], config.split_file)
    return bool(task.split.held_out_contexts)
