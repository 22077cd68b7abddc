"""First guesses for a file that has no card: which column is what, and what the values are."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import yaml

from bench.core.conditions import CONTROL, CONTROL_LABELS
from bench.core.errors import BenchError
from bench.data.cards import Card, Columns
from bench.data.io.h5ad import open_h5ad, read_frame

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
    condition = _first(obs, _CONDITION)
    if condition is None:
        raise BenchError(
            f"{path}: no obs column looks like a perturbation label (looked for {', '.join(_CONDITION)}; "
            f"there are {', '.join(map(str, obs.columns[:20])) or 'none'}). Write a card that names it, with one line: "
            f"{{source: {path.name}, columns: {{condition: COLUMN}}, control: LABEL}}, and give it as {path.stem}.yaml."
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
            f"{path}: no label in obs['{condition}'] looks like a control (looked for {', '.join(CONTROL_LABELS)}; "
            f"the most common are {', '.join(frequent.index[:5])}). Write a card that names it, with one line: "
            f"{{source: {path.name}, columns: {{condition: {condition}}}, control: LABEL}}, "
            f"and give it as {path.stem}.yaml."
        )
    # Normalised values are never all whole numbers, however small they are.
    integers = bool(np.all(block == np.floor(block)))
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("._-")[:64] or "data"
    return Card(
        name=name,
        source=str(path.resolve()),
        columns=Columns(
            condition=condition,
            context=_first(obs, _CONTEXT),
            batch=_first(obs, _BATCH),
            gene=_guess_gene_column(var, labels, separator),
        ),
        control=control,
        separator=separator,
        expression="counts" if integers else "log1p",
        folder=path.resolve().parent,
    )


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
