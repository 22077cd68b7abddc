"""Profiles of wells in Python: matched, as a table. ``bench profiles`` makes its rows by the same functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from bench.core.arguments import NonNegativeInt
from bench.core.conditions import INNER_PLUS
from bench.core.errors import BenchError, unknown
from bench.core.files import published_boards
from bench.core.text import an
from bench.core.track import Track
from bench.data.profiles.load import wells_of
from bench.data.profiles.wells import Wells
from bench.reports.merged import merged
from bench.results import records
from bench.results.tables import ALL, to_long
from bench.runner import profiles as runner
from bench.runner.config import ProfilesConfig
from bench.runner.result import Folders
from bench.tracks import registry

if TYPE_CHECKING:
    import pandas as pd

#: What a line of the table is about.
By: TypeAlias = Literal["row", "label"]
#: Encoders of this project by name, one or several, or with their own arguments.
Encoders: TypeAlias = "str | Sequence[str] | Mapping[str, Mapping[str, Any]]"
#: Numbers of a row that the terminal shows, and the interval of the first.
_SHOWN = ("rank", "rank_high", "model", "map_normalised", "map_normalised_ci_low", "map_normalised_ci_high")
_BESIDE = ("n_conditions", "status")


def profiles(
    data: Any = "simulated_profiles",
    *,
    encoder: Encoders = (),
    with_bars: bool = False,
    seed: NonNegativeInt | Iterable[NonNegativeInt] = 1,
    name: str = "",
    columns: Mapping[str, str | None] | None = None,
    control: str | Sequence[str] = (),
    dataset: str = "wells",
    by: By = "row",
    published: bool = True,
    out: str | Path | None = None,
    leaderboards: str | Path | None = None,
    force: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Match profiles of wells: replicates, perturbations of one target, modalities.

    Args:
        data: A card's name or file, a table of wells (csv, parquet), or such a table in memory, a row per well: a
            DataFrame whose columns are those of CPJUMP1 or are named by ``columns``; all that do not begin with
            ``Metadata_`` are features.
        encoder: Encoders of this project on the features, by name; with arguments of their own as
            ``{"jepa": {"epochs": 50}}``. Without any the row is of the features themselves.
        with_bars: Whether the features and encoders that learned nothing stand beside them.
        seed: Of the encoders' pretraining, one or several.
        name: The row's name; empty = ``profile``, ``embedding``, or the encoder's.
        columns: Of a table in memory: what a well's ``plate``, ``well``, ``perturbation``, ``control``, ``targets``,
            ``gene``, ``modality``, ``cell``, ``time``, ``batch`` are called; ``None`` = it has none.
        control: Of a table in memory: perturbations, or words in the column ``control``, of negative controls; absent =
            ``negcon`` and ``DMSO``.
        dataset: What a table in memory is called.
        by: ``row``: a line per group and row, as the terminal prints them; ``label``: a line per group, row, seed and
            perturbation or target.
        published: Whether rows of published boards of the same data stand beside, in a table by row.
        out: Folder that keeps records and tables; absent = nothing is kept.
        leaderboards: Folder that keeps the records; absent = ``leaderboards`` in ``out``.
        force: Whether rows that are finished in ``out`` are repeated.
        **options: As on the command line, with ``_`` for ``-``: ``task``, ``correction``, ``controls``, ``gate``,
            ``preset``, ``features``, ``embeddings``, ``cell_type``, ...; several values as a list or parted by commas.

    Returns:
        By row: ``task``, ``cell``, ``modality``, ``time``, ``rank`` to ``rank_high``, ``model``, ``map_normalised``
        (mAP*) with its 95% interval, ``map``, ``retrieved``, ``published_map``, ``published_fraction``, ``plate_leak``,
        ``n_labels``, ``status``. By label: the same groups, ``model``, ``seed``, ``label``, ``map_normalised``,
        ``map``, ``chance`` (of ``map``), ``retrieved``, ``looked_for`` (whether the gate let it through). A group
        without a result is a line with a ``status``, and has no labels.

    Raises:
        BenchError: Bad input of any kind, as on the command line.
    """
    import pandas as pd

    if by not in get_args(By):
        raise unknown("kind of table", str(by), get_args(By))
    track, folders = registry.by_verb("profiles"), Folders.of(out, leaderboards)
    given = {key: _plain(value) for key, value in options.items() if value is not None}
    in_memory = isinstance(data, pd.DataFrame)
    if not in_memory and not isinstance(data, str | Path):
        raise BenchError(f"{an(type(data).__name__)} holds no wells: expected a name, a file or a DataFrame.")
    if not in_memory and (columns or control):
        raise BenchError("columns and control are for a table in memory; a card says them of a file.")
    seeds = [seed] if isinstance(seed, int) else [*seed]
    if not seeds:
        raise BenchError("seed: expected at least one.")
    configs = runner.rows(
        track,
        dataset if in_memory else str(data),
        given,
        encoder if isinstance(encoder, Mapping) else {one: {} for one in runner.words(_plain(encoder))},
        seeds,
        with_bars,
        name,
        out=folders.out,
        leaderboards=folders.leaderboards,
        force=force,
    )
    asked = runner.meant(track, given).asked
    wells = wells_of(data, asked, dataset, columns or {}, control) if in_memory else None
    wells, paths = runner.run_all(track, configs, wells)
    groups = _groups(track, configs[0], wells)
    if by == "label":
        return _by_label(track, paths, groups)
    places = [folders.leaderboards, *([published_boards()] if published else [])]
    return _by_row(track, merged(places, paths)[0], groups)


def _plain(value: Any) -> Any:
    """A value as a flag would have it."""
    if isinstance(value, list | tuple | set):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def _groups(track: Track, config: ProfilesConfig, wells: Wells) -> pd.DataFrame:
    """What each split asks, by its name: task, cell line, modality, time, in the order of the questions."""
    import pandas as pd

    asked = runner.questions(track, config, wells)
    names = [str(spec.split) for spec in runner.specs(track, config, wells)]
    return pd.DataFrame(
        [registry.evaluation(track).words_of(one) for one in asked], index=pd.Index(names, name="split")
    )


def _by_row(track: Track, table: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    numbers = [column.metric for column in track.columns if column.metric not in _SHOWN]
    order = table["split"].map({name: i for i, name in enumerate(groups.index)})
    table = table.iloc[order.argsort(kind="stable")].reset_index(drop=True)
    # A board whose rows all lack a result has no numbers.
    kept = table.reindex(columns=[*_SHOWN, *numbers, *_BESIDE]).rename(columns={"n_conditions": "n_labels"})
    kept["status"] = kept["status"].fillna("")
    of = groups.loc[table["split"]].reset_index(drop=True)
    for place, column in enumerate(of.columns):
        kept.insert(place, column, of[column])
    return kept


def _by_label(track: Track, paths: Sequence[Path], groups: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    metrics = list(track.metrics)
    columns = [*groups.columns, "model", "seed", "label", *metrics, "chance", "looked_for"]
    parts = [pd.DataFrame(columns=columns)]
    for path in paths:
        record = records.read(path)
        values = records.read_table(track, path, record)
        if values is None:
            continue
        lines = to_long(values)
        lines = lines[lines["scope"] == ALL]
        wide = lines.pivot_table(index="condition", columns="metric", values="value", sort=False)
        level = lines[lines["metric"] == "map"].set_index("condition").loc[wide.index]
        part = wide[metrics].assign(
            label=[str(label).replace(INNER_PLUS, "+") for label in wide.index],
            chance=level["floor"],
            looked_for=~level["degenerate"].astype(bool),
            retrieved=wide["retrieved"].astype(bool),
            model=record.spec.label,
            seed=record.spec.pretrain_seed,
            **{str(name): word for name, word in groups.loc[str(record.spec.split)].items()},
        )
        parts.append(part[columns])
    some = parts[1:] or parts
    return pd.concat(some, ignore_index=True).rename_axis(columns=None)
