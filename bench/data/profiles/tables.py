"""Tables of wells as files hold them: csv, csv.gz, tsv or parquet; their features, labels and targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.door.limits import size_of
from bench.core.door.tables import first_bytes, read_csv, read_parquet
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.profiles.card import ProfileCard
from bench.data.profiles.wells import COMPOUND, MODALITIES, Group, Mask, Missing, Strings, Wells

#: Words that stand for nothing.
_BLANK = ("", "nan", "NaN", "NA", "None", "none", "<NA>")
#: Label of control wells of compound plates that have none of their own.
VEHICLE = "DMSO"


def read_table(path: Path, metadata_prefix: str = "Metadata_") -> pd.DataFrame:
    """Read a table; its metadata columns stay text, as 0012 is another barcode than 12.

    Raises:
        BenchError: Missing, empty of columns, or not such a table.
    """
    if not size_of(path):
        return pd.DataFrame()
    if path.suffix == ".parquet":
        return read_parquet(path)
    options = {"sep": "\t"} if path.suffix == ".txt" else {}
    names = read_csv(path, nrows=0, **options).columns
    return read_csv(path, dtype={name: str for name in names if str(name).startswith(metadata_prefix)}, **options)


def read_words(path: Path) -> pd.DataFrame:
    """Read a table about plates or perturbations, all of it as text, its columns parted by whatever its first line has.

    Raises:
        BenchError: Missing, empty, or not such a table.
    """
    first = first_bytes(path).split(b"\n")[0]
    separator = max(("\t", ",", ";"), key=lambda one: first.count(one.encode()))
    return read_csv(path, sep=separator, dtype=str)


def text_of(frame: pd.DataFrame, name: str, where: str) -> tuple[Strings, Mask]:
    """A column as text without blanks around it, and where it says nothing.

    Raises:
        BenchError: No such column; the message lists what is there.
    """
    if name not in frame.columns:
        there = ", ".join(str(c) for c in frame.columns[:20]) or "none"
        raise BenchError(f"{where}: no column '{name}'. There are: {there}. Name the right one in the card.")
    column = frame[name]
    words = column.astype(str).str.strip().to_numpy(dtype=str)
    return words, np.asarray(column.isna().to_numpy() | np.isin(words, _BLANK), dtype=np.bool_)


def features_of(frame: pd.DataFrame, prefix: str, where: str) -> tuple[Floats, tuple[str, ...]]:
    """The columns that are no metadata ``[N, F]``, and their names.

    Raises:
        BenchError: None, or one that holds no numbers.
    """
    names = [str(name) for name in frame.columns if not str(name).startswith(prefix)]
    if not names:
        raise BenchError(f"{where}: no features: every column begins with '{prefix}'.")
    for name in names:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype) and frame[name].notna().any():
            raise BenchError(
                f"{where}: column '{name}' holds '{frame[name].dropna().iloc[0]}', no number. Expected features, or a "
                f"name that begins with '{prefix}'."
            )
    return frame[names].to_numpy(dtype=np.float64), tuple(names)


def targets_of(frame: pd.DataFrame, name: str, separator: str, where: str) -> tuple[tuple[str, ...], ...]:
    """Lists of targets: a list in every cell, or text that is split.

    Raises:
        BenchError: No such column, or one that mixes lists and text.
    """
    if name not in frame.columns:
        text_of(frame, name, where)
    values = frame[name].tolist()
    listed = [isinstance(value, list | tuple | np.ndarray) for value in values]
    if not any(listed):
        words, blank = text_of(frame, name, where)
        parts = [[] if no else word.split(separator) for word, no in zip(words.tolist(), blank.tolist())]
        return tuple(_labels(one) for one in parts)
    for i, (value, is_list) in enumerate(zip(values, listed)):
        if not is_list and value is not None and value == value:  # NaN is not itself
            raise BenchError(
                f"{where}: column '{name}' mixes lists and text: row {listed.index(True)} holds a list, row {i} "
                f"{str(value)[:40]!r}. Expected lists in all rows, or text parted by '{separator}' in all."
            )
    return tuple(_labels(value) if is_list else () for value, is_list in zip(values, listed))


def _labels(values: Sequence[Any]) -> tuple[str, ...]:
    words = (str(value).strip() for value in values)
    return tuple(dict.fromkeys(word for word in words if word not in _BLANK))


def as_wells(
    frame: pd.DataFrame,
    card: ProfileCard,
    where: str,
    *,
    modality: Strings,
    cell: Strings,
    time: Strings,
    batch: Strings,
) -> Wells:
    """Arrange a table's rows as wells; rows that nothing was done to, as far as the table says, are left out.

    A compound well without a perturbation is a control (its vehicle); any other without one is empty.

    Args:
        frame: One row per well.
        card: Says what its columns mean.
        where: The file, for messages.
        modality: Of each row ``[N]``.
        cell: Of each row ``[N]``.
        time: Of each row ``[N]``.
        batch: Of each row ``[N]``.
    """
    of = card.columns
    perturbation, blank = text_of(frame, of.perturbation, where)
    compound = modality == COMPOUND
    perturbation = np.where(blank & compound, VEHICLE, perturbation)
    marked = np.isin(perturbation, card.control)
    if of.control in frame.columns:
        marked |= np.isin(text_of(frame, of.control, where)[0], card.control)
    x, features = features_of(frame, card.metadata_prefix, where)
    targets = [()] * len(frame) if of.targets is None else _optional(frame, of.targets, card.separator, where, compound)
    genes = [()] * len(frame) if of.gene is None else _optional(frame, of.gene, card.separator, where, ~compound)
    wells = Wells(
        name=card.name,
        x=x,
        features=features,
        plate=text_of(frame, of.plate, where)[0],
        well=text_of(frame, of.well, where)[0],
        batch=batch,
        perturbation=perturbation,
        control=marked,
        targets=tuple(a if is_compound else b for a, b, is_compound in zip(targets, genes, compound.tolist())),
        modality=modality,
        cell=cell,
        time=time,
        evidence=card.evidence,
    )
    return wells.take(np.flatnonzero(~blank | compound))


def _optional(frame: pd.DataFrame, name: str, separator: str, where: str, asked: Mask) -> Sequence[tuple[str, ...]]:
    """Targets, where some row is asked for them: a table of guides has no targets of compounds."""
    if not asked.any():
        return [()] * len(frame)
    return targets_of(frame, name, separator, where)


def one_table(path: Path, card: ProfileCard) -> Wells:
    """Read an experiment that is one table.

    Raises:
        BenchError: A column that is missing or does not say what it should.
    """
    frame = read_table(path, card.metadata_prefix)
    if not len(frame):
        return _nothing(card, Missing(path.name, Group("all", COMPOUND, "all"), "empty"))
    return from_frame(frame, card, str(path))


def from_frame(frame: pd.DataFrame, card: ProfileCard, where: str) -> Wells:
    """Arrange a table that is a whole experiment as wells.

    Args:
        frame: One row per well.
        card: Says what its columns mean.
        where: What it is called in messages.

    Raises:
        BenchError: A column that is missing or does not say what it should.
    """
    of = card.columns

    def words(name: str | None, other: str) -> Strings:
        return np.full(len(frame), other) if name is None else text_of(frame, name, where)[0]

    modality = np.char.lower(words(of.modality, COMPOUND))
    refuse_modalities(modality, where)
    return as_wells(
        frame,
        card,
        where,
        modality=modality,
        cell=words(of.cell, "all"),
        time=words(of.time, "all"),
        batch=words(of.batch, "all"),
    )


def _nothing(card: ProfileCard, why: Missing) -> Wells:
    """An experiment without wells, which says so."""
    none = np.zeros(0, dtype=str)
    labels: dict[str, Strings] = dict.fromkeys(
        ("plate", "well", "batch", "perturbation", "modality", "cell", "time"), none
    )
    return Wells(
        name=card.name,
        x=np.zeros((0, 1)),
        features=("none",),
        control=np.zeros(0, dtype=np.bool_),
        targets=(),
        missing=(why,),
        evidence=card.evidence,
        **labels,  # type: ignore[arg-type]
    )


def refuse_modalities(modality: Strings, where: str) -> None:
    """Refuse what is no modality.

    Raises:
        BenchError: Naming it.
    """
    if strange := sorted(set(modality.tolist()) - set(MODALITIES)):
        raise BenchError(f"{where}: modality '{strange[0]}'. Expected {', '.join(MODALITIES)}.")
