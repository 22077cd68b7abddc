"""How a file of predictions names conditions, contexts and genes: as we do, or as the owner of the data does.

Tools hand in the labels that they were given: ``target_gene`` with ``non-targeting`` for the controls, as cell-eval and
STATE have them, or whatever the card of the data says. Which column holds them is judged by what is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.conditions import CONTROL, from_label, from_written, identity, spellings, written
from bench.core.errors import BenchError
from bench.data.candidates import NAMES
from bench.data.cards import Card
from bench.data.features.bank import shorten
from bench.data.labels import as_text, name_labels, quoted

#: Our own columns.
CONDITION, CONTEXT = "condition", "context"
#: Where tools put the cell type, beside the column that a card names (cell-eval: ``celltype``).
_CONTEXTS = ("celltype", "cell_type", "cell_line")
#: A column of more labels than this is one of barcodes or numbers.
_MOST_LABELS = 50_000


@dataclass(frozen=True)
class Naming:
    """What is known of a file's names before it is opened.

    Attributes:
        card: Of the data that the predictions are for; its columns, controls and separator are tried where ours are not
            found.
        column: obs column of the conditions; None = the one that names the most of them.
        control: What the file calls unperturbed cells, beside what the card says.
        gene_names: Names of the file's columns, in order, where its own are numbers; empty = its own.
    """

    card: Card | None = None
    column: str | None = None
    control: tuple[str, ...] = ()
    gene_names: tuple[str, ...] = field(default=(), repr=False)

    def names_of(self, labels: Sequence[str], known: Collection[str], source: str = "") -> list[str]:
        """GEARS names of a file's labels; what is neither ours nor the card's is named as if it were ours.

        Args:
            labels: As they stand in the file.
            known: Conditions of the data.
            source: What to call the file in messages.

        Raises:
            BenchError: Labels that the card's separator cuts to nothing.
        """
        inner, there = spellings(known), {identity(name) for name in known}
        controls = (CONTROL, *self.control)
        names = [
            from_written(label, inner) if "@" in label else inner.get(label) or from_label(label, controls, "+")
            for label in labels
        ]
        strange = [i for i, name in enumerate(names) if identity(name) not in there]
        if self.card is None or not strange:
            return names
        card = self.card.model_copy(update={"control": (*self.card.control, *self.control)})
        theirs = name_labels([labels[i] for i in strange], card, source)
        for i, name in zip(strange, theirs, strict=True):
            if identity(name) in there:
                names[i] = name
        return names

    def conditions(self, obs: pd.DataFrame, wanted: Collection[str], path: Path) -> tuple[str, pd.Series[str]]:
        """The column that names the conditions, and the name of each row.

        Args:
            obs: Of the file.
            wanted: Conditions of which the file must name at least one.
            path: For messages.

        Raises:
            BenchError: No column names any; the message lists the columns and their labels.
        """
        identities = {identity(name) for name in wanted}
        best, found, most = "", pd.Series(dtype=str), 0
        for column in self._columns(obs, path):
            labels = pd.Series(as_text(obs[column])[0], index=obs.index)
            unique = labels.unique()
            if len(unique) > _MOST_LABELS and column != CONDITION:
                continue
            names = dict(zip(unique, self.names_of(unique.tolist(), wanted, str(path)), strict=True))
            hits = len({identity(name) for name in names.values()} & identities)
            if hits > most:
                best, found, most = column, labels.map(names), hits
        if not best:
            raise BenchError(f"{path}: {self._nowhere(obs, wanted)}")
        return best, found

    def _columns(self, obs: pd.DataFrame, path: Path) -> list[str]:
        """Columns to look at, the likeliest first: of equals the first is taken."""
        there = list(map(str, obs.columns))
        if self.column is not None:
            if self.column not in there:
                raise BenchError(f"{path}: no obs column '{self.column}' (there are: {', '.join(there) or 'none'}).")
            return [self.column]
        likely = [CONDITION, *([self.card.columns.condition] if self.card else []), *NAMES]
        return [name for name in dict.fromkeys([*likely, *there]) if name in there]

    def _nowhere(self, obs: pd.DataFrame, wanted: Collection[str]) -> str:
        """Say that no column names the conditions, what is in each, and how to say which one does."""
        asked = f"of the {len(wanted)} test conditions ({shorten([*map(written, wanted)], 3)})"
        held = []
        for column in map(str, obs.columns):
            labels = pd.unique(as_text(obs[column])[0])
            if self.column in (None, column) and len(labels) <= max(50, len(obs) // 2):
                held.append(f"'{column}' ({quoted(labels.tolist())}; {len(labels):,} labels)")
        names = ", ".join(map(str, obs.columns)) or "none"
        if self.column is None and CONDITION not in obs:
            head = f"no obs column '{CONDITION}', and no other that names one {asked} (there are: {names})."
        else:
            head = f"obs['{self.column or CONDITION}'] names none {asked}."
        listed = f" Candidates: {', '.join(held[:8])}." if held else ""
        card = self.card
        read = "" if card is None else f" (the card of '{card.name}' says control: {', '.join(card.control[:3])}, "
        read += "" if card is None else f"separator: {card.separator})"
        return f"{head}{listed} Say which one by --column, and what controls are called in it by --control{read}."

    def contexts(self, obs: pd.DataFrame, wanted: Collection[str]) -> pd.Series[str] | None:
        """Context of each row; None = no column names any of these."""
        named = self.card.columns.context if self.card else None
        for column in dict.fromkeys([CONTEXT, *([named] if named else []), *_CONTEXTS]):
            if column not in obs:
                continue
            labels = pd.Series(as_text(obs[column])[0], index=obs.index)
            if column == CONTEXT or set(labels.unique()) & set(wanted):
                return labels
        return None

    def genes(self, var: pd.DataFrame, wanted: Sequence[str], path: Path) -> list[str]:
        """Names of the file's columns: its index, or the column of ``var`` that names more of these genes.

        Args:
            var: Of the file.
            wanted: Genes of the data.
            path: For messages.

        Raises:
            BenchError: As many names as columns were not given; one name twice.
        """
        if self.gene_names:
            if len(self.gene_names) != len(var):
                raise BenchError(f"{path}: {len(var):,} columns, but {len(self.gene_names):,} gene names were given.")
            return _unique(list(self.gene_names), "the names that were given", path)
        found, best, hits, genes = "var_names", list(map(str, var.index)), -1, set(wanted)
        for column in [None, *(name for name in var.columns if not pd.api.types.is_numeric_dtype(var[name]))]:
            names = best if column is None else var[column].astype(str).tolist()
            here = len(genes.intersection(names))
            if here > max(hits, 0) or column is None:
                found, best, hits = found if column is None else f"var['{column}']", names, here
        return _unique(best, found, path)


def _unique(names: list[str], where: str, path: Path) -> list[str]:
    if len(set(names)) != len(names):
        raise BenchError(f"{path}: duplicate gene names in {where}.")
    return names


def absent_genes(names: Sequence[str], genes: Sequence[str], path: Path) -> BenchError | None:
    """What is wrong where a file lacks genes of the data; None = it has them all.

    Args:
        names: Of the file's columns.
        genes: Of the data.
        path: For messages.
    """
    absent = sorted(set(genes) - set(names), key=list(genes).index)
    if not absent:
        return None
    said = f"{path}: {len(absent)} of {len(genes)} genes are missing from var_names ({', '.join(absent[:5])})."
    there = len(genes) - len(absent)
    if all(name.isdecimal() for name in names[:100]):
        said += (
            " Its columns have numbers for names, as in files of STATE's 'tx predict': give the names, one a line in "
            "the order of the columns, by --gene-names FILE."
        )
    elif there:
        said += f" To score the {there:,} that are there, on a board of their own: --genes subset."
    else:
        said += f" Its genes are {shorten(list(names), 3)}; name them as the data do."
    return BenchError(said)


def read_gene_names(path: Path) -> tuple[str, ...]:
    """Read names of genes, one a line (of a CSV the first column), as cell-eval's ``prep`` takes them.

    Raises:
        BenchError: It cannot be read, or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: names of genes cannot be read ({error}). Expected one name a line.") from error
    names = tuple(line.split(",")[0].split("\t")[0].strip().strip('"') for line in lines if line.strip())
    if not names:
        raise BenchError(f"{path}: no names of genes. Expected one name a line.")
    return names


def rows_by_identity(names: pd.Series[str]) -> dict[frozenset[str], np.ndarray[Any, np.dtype[np.int64]]]:
    """Rows of each condition, in file order."""
    codes, unique = pd.factorize(names)
    number: dict[frozenset[str], int] = {}
    group = np.array([number.setdefault(identity(str(name)), len(number)) for name in unique], dtype=np.int64)[codes]
    ends = np.cumsum(np.bincount(group, minlength=len(number)))[:-1]
    return dict(zip(number, np.split(np.argsort(group, kind="stable"), ends), strict=True))
