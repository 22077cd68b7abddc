"""First guesses where a card is silent, or where there is none: which column is what, and what the values are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import yaml

from bench.core.conditions import CONTROL, parts_of
from bench.core.errors import BenchError
from bench.data.candidates import Candidate, Genes, find_candidates
from bench.data.cards import Card, Columns
from bench.data.guess_compounds import guess_compounds, guess_treatments, with_compound
from bench.data.io.h5ad import FIRST_ROWS, first_rows, numeric, open_h5ad, read_frame
from bench.data.labels import BLANK, CONTROL_EXAMPLES, as_text, looks_like_control
from bench.data.remarks import remarks_on

if TYPE_CHECKING:
    from anndata import AnnData

#: The source of a card that was guessed for an object in memory.
IN_MEMORY = "in memory"
_CONTEXT = ("cell_type", "cell_line", "celltype", "cell_context", "context")
_BATCH = ("gem_group", "batch", "gemgroup", "lane", "sample")
_TOTAL = ("ncounts", "n_counts", "total_counts")
#: More controls of one stem than this are written as a pattern.
_LISTED_CONTROLS = 3


class Guess(NamedTuple):
    """A card, and why it says what it says.

    Attributes:
        card: The card, complete.
        remarks: What people should know about the guess, one sentence each: all candidates and their reasons.
    """

    card: Card
    remarks: tuple[str, ...]


def guess_file(path: Path, given: Card | None = None) -> Guess:
    """Guess what a card leaves out from a file's columns and a block of its values.

    Args:
        path: The file.
        given: A card that says some of it; None = there is none.

    Raises:
        BenchError: The file cannot be read, or no column looks like a perturbation label or no label like a control.
    """
    with open_h5ad(path) as handle:
        obs = read_frame(handle, "obs")
        var = read_frame(handle, "raw/var" if given and given.raw else "var")
        block = first_rows(handle, given.layer if given else None, bool(given and given.raw))

    def advice(fields: str) -> str:
        if given:
            return f"Write into the card of '{given.name}': {fields}."
        return (
            f"Write a card that names it, with one line: {{source: {path.name}, {fields}}}, "
            f"and give it as {path.stem}.yaml."
        )

    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("._-")[:64] or "data"
    start = given or Card(name=name, source=str(path.resolve()), folder=path.resolve().parent)
    return _guess(obs, var, block, str(path), advice, start, bool(given))


def guess_card(path: Path) -> Card:
    """Guess a card from a file: :func:`guess_file` without its remarks."""
    return guess_file(path).card


def guess_adata(adata: AnnData) -> Card:
    """Guess a card from an object in memory, as from a file; it is called ``adata``.

    Raises:
        BenchError: No column looks like a perturbation label or no label like a control.
    """
    stored: Any = adata.X
    readable = stored is not None and np.dtype(stored.dtype).kind in "fiub"  # what is not is said on reading
    block = sp.csr_matrix(numeric(stored[:FIRST_ROWS])) if readable else sp.csr_matrix((0, 0))
    start = Card(name="adata", source=IN_MEMORY)
    advice = "Rename it: the column to 'condition', the label of unperturbed cells to 'ctrl'."
    return _guess(adata.obs, adata.var, block, "adata", lambda _: advice, start, False).card


def _guess(
    obs: pd.DataFrame,
    var: pd.DataFrame,
    block: sp.csr_matrix,
    source: str,
    advice: Callable[[str], str],
    card: Card,
    by_hand: bool,
) -> Guess:
    """Fill in what a card leaves out.

    Args:
        obs: A row per cell.
        var: A row per gene.
        block: The first rows of the values; empty = unknown.
        source: What to call the data in messages.
        advice: What to do where nothing can be guessed, from the fields that a card would have to give.
        card: What is known.
        by_hand: Whether somebody wrote that card.
    """
    everything = obs
    for column, value in card.filter.items():
        if column in obs.columns:
            obs = obs[as_text(obs[column])[0] == value]
    genes = _gene_names(var, card)
    candidates = find_candidates(obs, genes, card if by_hand else None)
    best = _choose(obs, candidates, source, advice, card)
    if best is None:  # the card names a column that is not there, which is said on reading
        return Guess(card, ())
    given, known = card.model_fields_set, card.columns.model_fields_set
    free = obs.drop(columns=[best.column])
    # Normalised values are never all whole numbers, however small they are.
    integers = bool((block.data == np.floor(block.data)).all()) and not bool((block.data < 0).any())
    fields: dict[str, Any] = {"separator": best.separator, "expression": "counts" if integers else "log1p"}
    if best.controls:
        fields["control"] = _control_labels(obs[best.column], best)
    elif best.role:
        fields |= {"role": best.role, "control": card.control}
    vehicle = any(re.match("dmso|vehicle", label, re.IGNORECASE) for label in best.controls)
    names_no_genes = not best.measured and bool(vehicle or card.dose or card.smiles)
    chemical = card.kind == "chemical" or ("kind" not in given and names_no_genes)
    if chemical:
        fields |= {"kind": "chemical", "separator": "none"}  # a '+' or '_' is a part of a compound's name
        treated = with_compound(obs, best, card)
        fields |= guess_compounds(free, treated, card)
    fields = {name: value for name, value in fields.items() if name not in given}
    if "role" in fields and "control" in given:
        del fields["role"]
    counts = {**card.model_dump(include={"expression"}), **fields}["expression"] == "counts"
    columns = {
        "condition": best.column,
        "context": _first(free, _CONTEXT),
        "batch": _first(free, _BATCH),
        "gene": best.gene,
        "total": _total(everything, block) if counts else None,
    }
    if chemical:
        columns |= guess_treatments(free, treated)
    # Given ones last: what a card says stands.
    columns |= {name: getattr(card.columns, name) for name in known}
    whole = card.model_copy(update={**fields, "columns": Columns(**columns)})
    return Guess(whole, tuple(remarks_on(obs, candidates, best, whole, "condition" in known)))


def _choose(
    obs: pd.DataFrame, candidates: list[Candidate], source: str, advice: Callable[[str], str], card: Card
) -> Candidate | None:
    """Take the best candidate that knows its controls.

    Raises:
        BenchError: There is none, and the card does not settle it.
    """
    if fit := [each for each in candidates if each.controls or each.role]:
        return fit[0]
    if candidates and ("control" in card.model_fields_set or card.role):
        return candidates[0]
    if not candidates and "condition" in card.columns.model_fields_set:
        return None
    if not candidates:
        there = ", ".join(map(str, obs.columns[:20])) or "none"
        raise BenchError(
            f"{source}: no obs column looks like a perturbation label, by its name or by its labels "
            f"(there are {there}). "
            f"{advice('columns: {condition: COLUMN}, control: LABEL')}"
        )
    shown = " ".join(f"({i}) {each.reason()}." for i, each in enumerate(candidates[:6], 1))
    raise BenchError(
        f"{source}: no label in obs['{candidates[0].column}'] looks like a control (such as {CONTROL_EXAMPLES}), and "
        f"no other column marks controls. Candidates: {shown} "
        f"{advice(f'columns: {{condition: {candidates[0].column}}}, control: LABEL')}"
    )


def _first(frame: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first of these columns that has a value in every cell."""
    return next((name for name in names if name in frame.columns and not frame[name].isna().any()), None)


def _total(obs: pd.DataFrame, block: sp.csr_matrix) -> str | None:
    """The first column of library sizes that no cell of the block exceeds: what a gene subset is normalised by."""
    for name in _TOTAL:
        values = pd.to_numeric(obs[name], errors="coerce") if name in obs.columns else pd.Series(dtype=float)
        sums = np.asarray(block.sum(axis=1)).ravel()
        if len(values) and (values > 0).all() and (values.to_numpy()[: len(sums)] >= sums * (1 - 1e-6)).all():
            return name
    return None


def _gene_names(var: pd.DataFrame, card: Card) -> Genes:
    """Names of the genes in every column of ``var`` that holds text; in the one that the card names only."""
    if card.columns.gene in var.columns:
        return {card.columns.gene: frozenset(var[card.columns.gene].astype(str))}
    texts = [name for name in var.columns if not pd.api.types.is_numeric_dtype(var[name])]
    columns: dict[str | None, frozenset[str]] = {None: frozenset(var.index.astype(str))}
    return columns | {str(name): frozenset(var[name].astype(str)) for name in texts if len(var)}


def _control_labels(values: pd.Series[Any], best: Candidate) -> tuple[str, ...]:
    """Whole labels ('NT_NT') and the parts that fill up a single ('KLF1_NT'); many with numbers as one pattern."""
    mark = "" if best.separator == "none" else best.separator
    labels = sorted(set(as_text(values)[0].tolist()) - set(BLANK))
    split = {label: parts_of(label, mark) for label in labels}
    whole = {label for label in labels if looks_like_control(label) and not all(map(looks_like_control, split[label]))}
    fillers = {part for label in labels if label not in whole for part in split[label] if looks_like_control(part)}
    controls = {*best.controls, *(fillers - {CONTROL})}
    others = {part for label in labels for part in (label, *split[label])} - controls
    stems: dict[str, set[str]] = {}
    for label in controls:
        if re.search(r"\d$", label) and (stem := re.sub(r"\d+$", "", label)):
            stems.setdefault(stem, set()).add(label)
    patterns = set()
    for stem, many in stems.items():
        plain = not set("*?[") & set(stem)
        if len(many) > _LISTED_CONTROLS and plain and not any(label.startswith(stem) for label in others):
            controls -= many
            patterns.add(f"{stem}*")
    return tuple(sorted(controls | patterns))


def is_complete(card: Card) -> bool:
    """Tell whether nothing is left to guess."""
    columns, fields = {"condition", "context", "batch", "gene", "total"}, {"control", "separator", "expression"}
    if card.kind == "chemical" or card.dose or card.smiles:
        columns, fields = columns | {"dose", "time"}, fields | {"kind", "smiles", "features"}
    return fields <= card.model_fields_set and columns <= card.columns.model_fields_set


def to_yaml(card: Card) -> str:
    """Write a card as YAML that :func:`bench.data.cards.read_card` reads back; defaults are left out."""
    fields = card.model_dump(mode="json", exclude_defaults=True, exclude={"folder"})
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
