"""From a card to wells: found, read, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from bench.core.errors import BenchError, unknown
from bench.core.files import safe_name, sha256_json
from bench.data import generator_parameters
from bench.data.profiles import embeddings, universe
from bench.data.profiles.card import ProfileCard, ProfileColumns, find_card
from bench.data.profiles.experiment import read_experiment
from bench.data.profiles.simulate import SIMULATED_PROFILES, ProfileParameters, simulate
from bench.data.profiles.tables import from_frame, one_table
from bench.data.profiles.universe import By
from bench.data.profiles.wells import Wells, checked

GENERATOR = "simulated_profiles"


@dataclass(frozen=True)
class Asked:
    """What of an experiment is looked at.

    Attributes:
        features: ``profile``, or ``embedding``: the numbers of ``<plate>.h5`` in place of features.
        embeddings: Folder of these; ``None`` = that of the experiment.
        batches: Batches of plates; empty = those that the card keeps.
        universe: ``all``, or a file that lists wells.
        universe_by: See :data:`bench.data.profiles.universe.By`.
        nan: ``error`` or ``drop``: what is done about undefined features.
    """

    features: str = "profile"
    embeddings: Path | None = None
    batches: Sequence[str] = ()
    universe: str = universe.ALL
    universe_by: By = "wells"
    nan: str = "error"


def load_wells(source: str, asked: Asked = Asked()) -> Wells:
    """Read the wells of a card, a table, or a generator (``simulated_profiles:seed=2``).

    Args:
        source: Name or path.
        asked: What of it.

    Raises:
        BenchError: Whatever is wrong with the files, or a request that they cannot meet.
    """
    card, given = _card(source, asked.batches)
    if card.source == GENERATOR:
        return _listed(_embedded(_simulated(card, given), asked, card, None, source), asked)
    path = _find(card)
    wells = one_table(path, card) if card.experiment is None else read_experiment(path, card)
    wells = checked(wells, str(path), asked.nan)
    return _listed(_embedded(wells, asked, card, path if path.is_dir() else path.parent, str(path)), asked)


def wells_of(
    frame: pd.DataFrame, asked: Asked, name: str, columns: Mapping[str, str | None], control: str | Sequence[str] = ()
) -> Wells:
    """Take the wells of a table in memory.

    Args:
        frame: One row per well.
        asked: What of it.
        name: What the data set is called.
        columns: See :class:`bench.data.profiles.card.ProfileColumns`; those not given have the defaults.
        control: What marks negative controls; empty = the card's default.

    Raises:
        BenchError: Columns that there are not, or what is no table of wells.
    """
    for key in columns:
        if key not in ProfileColumns.model_fields:
            raise unknown("column of wells", key, ProfileColumns.model_fields)
    where, names = f"the table '{safe_name('data set', name)}'", frame.columns.astype(str)
    if not names.is_unique:
        raise BenchError(f"{where}: column '{names[names.duplicated()][0]}' is there more than once.")
    if asked.batches:
        raise BenchError(f"{where} is one table: leave out batch, which chooses plates of an experiment's folder.")
    marks = {"control": [control] if isinstance(control, str) else list(control)} if control else {}
    try:
        card = ProfileCard.model_validate({"name": name, "source": name, "columns": dict(columns), **marks})
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    if not len(frame):
        raise BenchError(f"{where} has no rows; expected one per well.")
    wells = checked(from_frame(frame.set_axis(names, axis=1).reset_index(drop=True), card, where), where, asked.nan)
    return _listed(_embedded(wells, asked, card, None, where), asked)


def _embedded(wells: Wells, asked: Asked, card: ProfileCard, beside: Path | None, where: str) -> Wells:
    """The wells with embeddings in place of features, where these are asked for.

    Args:
        wells: As they were read.
        asked: What is asked for.
        card: Names the files.
        beside: Folder of the wells' own files, where they have any.
        where: What the wells are called in messages.

    Raises:
        BenchError: Embeddings of no folder, that do not fit the wells, or a folder of them that nobody asks for.
    """
    if asked.features != "embedding":
        if asked.embeddings is not None:
            raise BenchError("--embeddings goes with --features embedding: features of profiles are asked for.")
        return wells
    folder = asked.embeddings or beside
    if folder is None:
        raise BenchError(f"{where}: name the folder of the embeddings, which no file of wells lies beside.")
    return embeddings.with_embeddings(wells, folder, card.embeddings)


def name_of(source: str, batches: Sequence[str] = ()) -> str:
    """The name of the data set that :func:`load_wells` reads, without reading it.

    Raises:
        BenchError: No such card, or parameters that it does not have.
    """
    card, given = _card(source, batches)
    return _drawn(card, given)[0] if card.source == GENERATOR else card.name


def _card(source: str, batches: Sequence[str]) -> tuple[ProfileCard, str]:
    """The card of a source, and what stands after its colon."""
    name, _, given = source.partition(":") if not Path(source).exists() else (source, "", "")
    card = find_card(name)
    if card.source == GENERATOR:
        return card, given
    if given:
        raise BenchError(f"'{source}': parameters are for simulated data; '{name}' is read from {card.source}.")
    return _with_batches(card, batches), ""


def _listed(wells: Wells, asked: Asked) -> Wells:
    if asked.universe == universe.ALL:
        return wells
    return wells.take(np.flatnonzero(universe.listed(wells, Path(asked.universe), asked.universe_by)))


def _simulated(card: ProfileCard, given: str) -> Wells:
    """Wells of the generator under a card's parameters, and those that a name adds."""
    name, parameters = _drawn(card, given)
    drawn = simulate(parameters, name).wells
    return checked(replace(drawn, evidence=card.evidence), card.name)


def _drawn(card: ProfileCard, given: str) -> tuple[str, ProfileParameters]:
    """Name and parameters of what the generator draws."""
    called = f"'{card.name}:{given}'" if given else f"card '{card.name}'"
    values = {**card.parameters, **(generator_parameters.read(given, called) if given else {})}
    suffix = "_".join(f"{key}{value}" for key, value in values.items() if key not in card.parameters)
    parameters = generator_parameters.changed(SIMULATED_PROFILES, values, called)
    return safe_name("data set", f"{card.name}_{suffix}" if suffix else card.name), parameters


def _with_batches(card: ProfileCard, batches: Sequence[str]) -> ProfileCard:
    """The card with other batches: another data set, whose name says so.

    Raises:
        BenchError: Batches of one table, which has no metadata of plates.
    """
    if not batches:
        return card
    if card.experiment is None:
        raise BenchError(f"--batch goes with an experiment's folder; '{card.name}' is one table.")
    keep = {**card.keep, card.experiment_columns.batch: tuple(batches)}
    if keep == card.keep:
        return card
    name = f"{card.name}_{sha256_json(sorted(batches))[:6]}"
    return card.model_copy(update={"keep": keep, "name": name})


def _find(card: ProfileCard) -> Path:
    """The source: absolute, then beside the card, then in ``$BENCH_DATA``.

    Raises:
        BenchError: In none of these places; the message says where it can be had and where to put it.
    """
    path, data = Path(card.source).expanduser(), os.environ.get("BENCH_DATA")
    places = [path] if path.is_absolute() else [card.folder / path, *([Path(data) / path] if data else [])]
    for place in places:
        if place.exists():
            return place
    origin = f"Get it from {card.url}" if card.url else "Get it"
    where = (
        f"put it at {Path(data) / path} (BENCH_DATA is {data})"
        if data
        else f"put it at FOLDER/{path} and set BENCH_DATA=FOLDER"
    )
    raise BenchError(f"profile data '{card.name}': no file or folder {card.source}. {origin} and {where}.{card.needs}")
