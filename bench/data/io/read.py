"""h5ad, or an AnnData object -> :class:`~bench.data.dataset.Dataset`, without ever holding the whole matrix dense.

Accepts what GEARS and scanpy write: integer counts or log1p values, dense, CSR or CSC, any float type, compressed
or not. ``X`` is read on its own, so layers and embeddings of a large file cost nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import from_label
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.data.cards import Card
from bench.data.dataset import Dataset, Strings, build, check_names
from bench.data.io.h5ad import memory_matrix, open_h5ad, read_frame, read_matrix
from bench.data.values import TARGET_SUM, canonical, check_values, normalise

if TYPE_CHECKING:
    from anndata import AnnData

#: What pandas and anndata make of a missing label once it went through ``astype(str)``.
_BLANK = {"", "nan", "NaN", "<NA>", "None"}


def column(frame: pd.DataFrame, name: str, table: str, source: str) -> pd.Series[Any]:
    """Return a column of ``obs`` or ``var``.

    Raises:
        BenchError: If it is missing; the message lists what is there.
    """
    if name not in frame.columns:
        there = ", ".join(str(c) for c in frame.columns[:20]) or "none"
        raise BenchError(
            f"{source}: no column '{name}' in {table}. There are: {there}. Name the right one in the card."
        )
    return frame[name]


def _labels(frame: pd.DataFrame, name: str | None, source: str, allowed: tuple[str, ...] = ()) -> Strings:
    if name is None:
        return np.full(len(frame), "all")
    column_ = column(frame, name, "obs", source)
    values = column_.astype(str).to_numpy(dtype=str)
    blank = column_.isna().to_numpy() | np.isin(values, sorted(_BLANK - set(allowed)))
    if blank.any():
        raise BenchError(
            f"{source}: {int(blank.sum())} cells have no value in obs['{name}'] (first in cell "
            f"'{frame.index[int(np.argmax(blank))]}'). Filter them out, or let the card name another column."
        )
    return values


def _genes(var: pd.DataFrame, name: str | None, source: str) -> Strings:
    if name is None:
        return var.index.astype(str).to_numpy(dtype=str)
    return column(var, name, "var", source).astype(str).to_numpy(dtype=str)


def _filtered(obs: pd.DataFrame, card: Card, source: str) -> NDArray[np.bool_]:
    keep = np.ones(len(obs), dtype=bool)
    for name, value in card.filter.items():
        values = column(obs, name, "obs", source).astype(str)
        if not (values == value).any():
            there = ", ".join(values.value_counts().index[:5])
            raise BenchError(
                f"{source}: the card's filter keeps rows whose obs['{name}'] is '{value}', and there are none. "
                f"The most common values are {there}."
            )
        keep &= (values == value).to_numpy()
    if not keep.any():
        raise BenchError(f"{source}: the card's filter {card.filter} leaves no cells.")
    return keep


def _totals(obs: pd.DataFrame, name: str | None, source: str) -> NDArray[np.float64] | None:
    if name is None:
        return None
    values = pd.to_numeric(column(obs, name, "obs", source), errors="coerce").to_numpy(dtype=np.float64)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        raise BenchError(
            f"{source}: {int(bad.sum())} cells have no library size in obs['{name}'] (first in cell "
            f"'{obs.index[int(np.argmax(bad))]}'). Expected the counts of the whole cell, above 0."
        )
    return values


class _Problems:
    """Collects errors, so that one reading of a file reports all that is wrong with it."""

    def __init__(self, source: str) -> None:
        self.source, self.found = source, list[str]()

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            self.found.append(str(error).removeprefix(f"{self.source}: "))

    def report(self) -> None:
        if self.found:
            raise BenchError(f"{self.source}: {' Also: '.join(self.found)}")


def read_h5ad(path: Path, card: Card) -> Dataset:
    """Read one data set.

    Args:
        path: The file.
        card: What its columns and values mean.

    Raises:
        BenchError: Anything that would make a score wrong; the message names the file, the column or the value.
    """
    source = str(path)
    if card.sha256 and (found := sha256_file(path)) != card.sha256:
        raise BenchError(f"{source}: sha256 is {found}, the card says {card.sha256}. Another version, or damaged.")
    with open_h5ad(path) as handle:
        obs, var = read_frame(handle, "obs"), read_frame(handle, "var")
        raw = read_matrix(handle)
    return read_tables(obs, var, raw, card, source)


def read_adata(adata: AnnData, card: Card) -> Dataset:
    """Read a data set from an object in memory, under the same checks as a file; the object stays as it is.

    Args:
        adata: The object.
        card: What its columns and values mean; its name stands for the object in messages.

    Raises:
        BenchError: As :func:`read_h5ad`; an object whose ``X`` is absent or was left on disk.
    """
    return read_tables(adata.obs, adata.var, memory_matrix(adata, card.name), card, card.name)


def read_tables(obs: pd.DataFrame, var: pd.DataFrame, raw: sp.csr_matrix, card: Card, source: str) -> Dataset:
    """Check the tables and the matrix of a data set, and bring them into the one form.

    Args:
        obs: A row per cell.
        var: A row per gene.
        raw: ``X``, ``[cells, genes]``; may be used up.
        card: What columns and values mean.
        source: What to call the data in messages.

    Raises:
        BenchError: Anything that would make a score wrong; the message names the column or the value.
    """
    if raw.shape != (len(obs), len(var)):
        raise BenchError(f"{source}: damaged: X is {raw.shape}, obs and var say {(len(obs), len(var))}.")
    if 0 in raw.shape:
        raise BenchError(f"{source}: X is empty: {raw.shape[0]} cells x {raw.shape[1]} genes.")
    keep = _filtered(obs, card, source)
    if not keep.all():
        raw, obs = raw[np.flatnonzero(keep)], obs[keep]
    problems = _Problems(source)
    genes, condition = var.index.astype(str).to_numpy(dtype=str), np.empty(0, dtype=str)
    barcodes = obs.index.astype(str).to_numpy(dtype=str)
    context = batch = condition
    notes: list[str] = []
    with problems.collect():
        genes = _genes(var, card.columns.gene, source)
    with problems.collect():
        notes = check_values(raw, card.expression, genes, source)
    with problems.collect():
        labels = _labels(obs, card.columns.condition, source, card.control)
        unique, inverse = np.unique(labels, return_inverse=True)
        names = [from_label(label, card.control, card.separator) for label in unique.tolist()]
        if cut := [label for label, name in zip(unique.tolist(), names, strict=True) if "" in name.split("+")]:
            raise BenchError(
                f"{source}: obs['{card.columns.condition}'] has labels with nothing on one side of the separator "
                f"'{card.separator}' ({', '.join(map(repr, cut[:3]))}). Correct them, or the card's separator."
            )
        condition = np.array(names)[inverse]
    with problems.collect():
        context = _labels(obs, card.columns.context, source)
    with problems.collect():
        batch = _labels(obs, card.columns.batch, source)
    with problems.collect():
        totals = _totals(obs, card.columns.total, source)
    problems.found += check_names(genes, barcodes, condition)
    problems.report()
    if card.expression == "counts":
        x = normalise(raw, totals)
        notes.append(f"counts were normalised to {TARGET_SUM:g} per cell and log1p-transformed")
    else:
        x = canonical(raw)
    return build(
        card.name,
        x,
        genes=genes,
        barcodes=barcodes,
        condition=condition,
        context=context,
        batch=batch,
        source=source,
        min_cells=card.min_cells,
        evidence=card.evidence,
        notes=notes,
        card=card,
    )
