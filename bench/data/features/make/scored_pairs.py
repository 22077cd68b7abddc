"""Tables of gene pairs with a score: STRING's downloads and exports, and any table of two names and a number."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.door.tables import PRECISE, first_bytes
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.gene_embedding import WIDTH
from bench.data.features.make.graph import embed_pairs

#: Names of the two columns of genes: symbols before identifiers.
PAIRS = (
    ("preferredName_A", "preferredName_B"),
    ("node1", "node2"),
    ("entity1", "entity2"),
    ("gene1", "gene2"),
    ("protein1", "protein2"),
)
SCORES = ("combined_score", "score", "weight")
#: STRING calls this confidence medium: 0.4, written as 400 in its downloads.
MEDIUM = 0.4
_ROWS = 1_000_000


class _Columns(NamedTuple):
    """Where a table has its pairs.

    Attributes:
        genes: Two columns of names.
        score: Column of scores; None = there is none.
        separator: Between columns.
    """

    genes: tuple[str, str]
    score: str | None
    separator: str


def columns_of(path: Path) -> _Columns | None:
    """Find two columns of names, and one of scores; None = no such columns.

    Raises:
        BenchError: It cannot be read.
    """
    first_bytes(path)
    with gzip.open(path, "rt", errors="replace") if path.suffix == ".gz" else open(path, errors="replace") as handle:
        header = handle.readline()
    separator = next((mark for mark in ("\t", ",", ";") if mark in header), " ")
    try:
        some = pd.read_csv(path, sep=separator, nrows=100, float_precision=PRECISE)
    except (ValueError, OSError) as error:
        raise BenchError(f"{path}: not a readable table ({' '.join(str(error).split())[:200]}).") from error
    plain = {str(name).lstrip("#"): str(name) for name in some.columns}
    numeric = [str(name) for name in some.columns if pd.api.types.is_numeric_dtype(some[name])]
    score = next((plain[name] for name in SCORES if name in plain and plain[name] in numeric), None)
    for a, b in PAIRS:
        if a in plain and b in plain:
            return _Columns((plain[a], plain[b]), score, separator)
    texts = [str(name) for name in some.columns if str(name) not in numeric]
    if len(texts) == 2 and list(map(str, some.columns[:2])) == texts and len(numeric) <= 1:
        return _Columns((texts[0], texts[1]), score or (numeric[0] if numeric else None), separator)
    return None


def read_scored_pairs(
    path: Path, name: str, info: Path | None = None, least: float = MEDIUM, width: int = WIDTH
) -> FeatureBank:
    """Embed the genes of a table of pairs, each weighted by its score.

    Args:
        path: STRING's ``protein.links`` (``protein1 protein2 combined_score``), its export or API as TSV, or any table
            with two columns of names and one of scores (none = 1), gzipped or not.
        name: The bank's name.
        info: STRING's ``protein.info``, which names the proteins of ``protein.links``.
        least: Smallest score that counts, from 0 to 1; scores above 1 are taken for thousandths, as STRING has them.
        width: Dimensions.

    Raises:
        BenchError: No such table, proteins that nobody names, or no pair left.

    Source of the formats: string-db.org, "Download" and "API" pages, version 12.
    """
    where = columns_of(path)
    if where is None:
        raise BenchError(
            f"{path}: no pairs of genes. Expected two columns of names and one of scores, such as STRING's protein1, "
            f"protein2, combined_score."
        )
    pairs, rows, low, high = [], 0, np.inf, -np.inf
    kinds: dict[Any, Any] = dict.fromkeys(where.genes, "category")
    wanted = [*where.genes, *([where.score] if where.score else [])]
    try:
        options: dict[str, Any] = {
            "sep": where.separator,
            "usecols": wanted,
            "dtype": kinds,
            "float_precision": PRECISE,
        }
        for part in pd.read_csv(path, chunksize=_ROWS, **options):
            score = part[where.score].to_numpy(np.float64) if where.score else np.ones(len(part))
            rows, low, high = rows + len(part), min(low, np.nanmin(score)), max(high, np.nanmax(score))
            kept = score >= (least if np.nanmax(score) <= 1 else 1_000 * least)
            first, second = (part.loc[kept, column].astype(str).to_numpy() for column in where.genes)
            pairs.append((first, second, score[kept]))
    except (ValueError, OSError, EOFError) as error:
        raise BenchError(f"{path}: not a readable table ({' '.join(str(error).split())[:200]}).") from error
    first, second, weight = (np.concatenate(each) for each in zip(*pairs, strict=True))
    if low < 0 or not np.isfinite(weight).all():
        raise BenchError(f"{path}: column '{where.score}' holds {low:g}; expected scores from 0 to 1, or to 1,000.")
    if not len(first):
        raise BenchError(
            f"{path}: none of {rows:,} pairs has a score of {least:g} or more (largest: {high:g}); choose another by "
            f"--min-score."
        )
    return _named(first, second, weight / (1_000 if high > 1 else 1), path, name, info, width)


def _named(
    first: NDArray[Any], second: NDArray[Any], weight: Floats, path: Path, name: str, info: Path | None, width: int
) -> FeatureBank:
    genes, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = codes[: len(first)], codes[len(first) :]
    if info is None:
        identifiers = [gene for gene in genes[:100].tolist() if ".ENS" in gene]
        if len(identifiers) > len(genes[:100]) / 2:
            raise BenchError(
                f"{path}: its proteins have identifiers ({shorten(identifiers, 2)}). Give the file that names them, "
                f"STRING's protein.info of the same species and version, by --info."
            )
        return embed_pairs(genes, a, b, weight, name, str(path), width)
    symbol = read_info(info)
    known = np.array([gene in symbol for gene in genes.tolist()])
    if not known.any():
        raise BenchError(f"{info}: names none of the {len(genes):,} proteins of {path} ({shorten(genes.tolist(), 2)}).")
    names, number = np.unique([symbol.get(gene, "") for gene in genes.tolist()], return_inverse=True)
    both = known[a] & known[b]
    # The empty name, of proteins that are not in the list, stands first and is in no pair.
    return embed_pairs(names, number[a[both]], number[b[both]], weight[both], name, str(path), width)


def read_info(path: Path) -> dict[str, str]:
    """Symbol of each of STRING's proteins, from ``protein.info``.

    Raises:
        BenchError: No such table.
    """
    first_bytes(path)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, quoting=3, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:
        raise BenchError(f"{path}: not a readable table ({' '.join(str(error).split())[:200]}).") from error
    columns = {str(name).lstrip("#"): str(name) for name in table.columns}
    for wanted in ("string_protein_id", "preferred_name"):
        if wanted not in columns:
            raise BenchError(
                f"{path}: no column '{wanted}' (columns: {shorten(list(columns), 5)}). Expected STRING's protein.info."
            )
    return dict(zip(table[columns["string_protein_id"]], table[columns["preferred_name"]].str.strip(), strict=True))


def looks_like_pairs(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a table holds pairs of genes, and not a row of numbers for each."""
    return path.name.endswith(tuple(suffixes)) and columns_of(path) is not None
