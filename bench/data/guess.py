"""First guesses for a file or object that has no card: which column is what, and what the values are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import yaml

from bench.core.conditions import CONTROL, CONTROL_LABELS
from bench.core.errors import BenchError
from bench.data.cards import Card, Columns
from bench.data.io.h5ad import open_h5ad, read_frame

if TYPE_CHECKING:
    from anndata import AnnData

#: The source of a card that was guessed for an object in memory.
IN_MEMORY = "in memory"
# The names that GEARS, scPerturb, PerturBench and Replogle's files use, the likeliest first.
_CONDITION = ("condition", "perturbation", "guide_identity", "gene", "target_gene", "perturbation_name", "guide_ids")
_CONTEXT = ("cell_type", "cell_line", "celltype", "cell_context", "context")
_BATCH = ("gem_group", "batch", "gemgroup", "lane", "sample")
_SEPARATORS = ("+", "_", "|", ",", ";")


def _first(frame: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in frame.columns), None)


def guess_card(path: Path) -> Card:
    """Guess a card from a file's columns and a block of its values.

    Raises:
        BenchError: The file cannot be read, or no column looks like a perturbation label or no label like a control.
    """
    with open_h5ad(path) as handle:
        obs, var = read_frame(handle, "obs"), read_frame(handle, "var")
        stored = handle["X"]
        block = stored[:200] if isinstance(stored, h5py.Dataset) else stored["data"][:1_000_000]

    def card(fields: str) -> str:
        return (
            f"Write a card that names it, with one line: {{source: {path.name}, {fields}}}, "
            f"and give it as {path.stem}.yaml."
        )

    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("._-")[:64] or "data"
    guessed = _guess(obs, var, block, str(path), card)
    return Card(name=name, source=str(path.resolve()), folder=path.resolve().parent, **guessed)


def guess_adata(adata: AnnData) -> Card:
    """Guess a card from an object in memory, as from a file; it is called ``adata``.

    Raises:
        BenchError: No column looks like a perturbation label or no label like a control.
    """
    stored: Any = adata.X
    some: Any = np.empty((0, 0)) if stored is None else stored[:200]
    block = np.asarray(some.toarray() if hasattr(some, "toarray") else some)
    advice = "Rename it: the column to 'condition', the label of unperturbed cells to 'ctrl'."
    return Card(name="adata", source=IN_MEMORY, **_guess(adata.obs, adata.var, block, "adata", lambda _: advice))


def _guess(
    obs: pd.DataFrame, var: pd.DataFrame, block: np.ndarray[Any, Any], source: str, advice: Callable[[str], str]
) -> dict[str, Any]:
    """Guess the fields of a card.

    Args:
        obs: A row per cell.
        var: A row per gene.
        block: Some of the values.
        source: What to call the data in messages.
        advice: What to do where nothing can be guessed, from the fields that a card would have to give.
    """
    condition = _first(obs, _CONDITION)
    if condition is None:
        raise BenchError(
            f"{source}: no obs column looks like a perturbation label (looked for {', '.join(_CONDITION)}; "
            f"there are {', '.join(map(str, obs.columns[:20])) or 'none'}). "
            f"{advice('columns: {condition: COLUMN}, control: LABEL')}"
        )
    frequent = obs[condition].dropna().astype(str).value_counts()
    labels = sorted(frequent.index)
    separator = _guess_separator(labels)
    # Whole labels ('NT_NT') and the parts that fill up a single ('KLF1_NT').
    parts_of = {label: label.split(separator) for label in labels}
    controls = {label for label, parts in parts_of.items() if all(_is_control(part) for part in parts)}
    fillers = {part for parts in parts_of.values() for part in parts if _is_control(part)} - {CONTROL}
    control = tuple(sorted(controls | fillers)) if controls else ()
    if not control:
        raise BenchError(
            f"{source}: no label in obs['{condition}'] looks like a control (looked for {', '.join(CONTROL_LABELS)}; "
            f"the most common are {', '.join(frequent.index[:5])}). "
            f"{advice(f'columns: {{condition: {condition}}}, control: LABEL')}"
        )
    # Normalised values are never all whole numbers, however small they are.
    integers = bool(np.all(block == np.floor(block)))
    return {
        "columns": Columns(
            condition=condition,
            context=_first(obs, _CONTEXT),
            batch=_first(obs, _BATCH),
            gene=_guess_gene_column(var, labels, separator),
        ),
        "control": control,
        "separator": separator,
        "expression": "counts" if integers else "log1p",
    }


def _is_control(label: str) -> bool:
    return label.lower() in CONTROL_LABELS


def _guess_separator(labels: list[str]) -> str:
    """Take the character at which the most labels fall into parts that are labels (or controls) on their own."""
    known = set(labels)

    def hits(mark: str) -> int:
        return sum(
            any(part in known or _is_control(part) for part in label.split(mark)) for label in labels if mark in label
        )

    return max(_SEPARATORS, key=hits)  # max keeps the first: '+' where nothing splits


def _guess_gene_column(var: pd.DataFrame, labels: list[str], separator: str) -> str | None:
    """Take the var column that names more of the targets than ``var_names`` do (GEARS: Ensembl ids and gene_name)."""
    targets = {part for label in labels for part in label.split(separator)}
    best, most = None, len(targets & set(var.index.astype(str)))
    for name in ("gene_name", "gene_symbol", "gene_symbols", "symbol", "feature_name"):
        if name in var.columns and (found := len(targets & set(var[name].astype(str)))) > most:
            best, most = name, found
    return best


def to_yaml(card: Card) -> str:
    """Write a card as YAML that :func:`bench.data.cards.read_card` reads back; defaults are left out."""
    fields = card.model_dump(mode="json", exclude_defaults=True, exclude={"folder"})
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
