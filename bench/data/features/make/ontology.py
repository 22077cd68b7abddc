"""Gene Ontology annotations -> terms of each gene -> genes that share them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import scipy.sparse as sp

from bench.core.door.tables import first_bytes
from bench.core.errors import BenchError
from bench.data.features.bank import FeatureBank
from bench.data.features.gene2go import read_gene2go
from bench.data.features.gene_embedding import WIDTH
from bench.data.features.make.graph import embed_pairs

#: As in GEARS: each gene's most similar ones, and how similar they must be.
NEIGHBOURS, LEAST = 20, 0.1
_BLOCK = 1_000
#: Columns of GAF: symbol, qualifier, term (http://geneontology.org/docs/go-annotation-file-gaf-format-2.2).
_SYMBOL, _QUALIFIER, _TERM = 2, 3, 4

Terms = Mapping[str, frozenset[str]]


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8", errors="replace") if path.suffix == ".gz" else open(
        path, encoding="utf-8", errors="replace"
    )  # fmt: skip


def read_annotations(path: Path) -> Terms:
    """GO terms of each gene, by symbol: from a GAF file, or GEARS' gene2go (pickle or JSON); "NOT" lines are left out.

    Raises:
        BenchError: Neither.
    """
    if path.suffix in (".pkl", ".json"):
        return read_gene2go(path)
    first_bytes(path)
    found: dict[str, set[str]] = {}
    try:
        with _open(path) as handle:
            for line in handle:
                parts = line.rstrip("\n").split("\t")
                if line.startswith("!") or len(parts) < 15 or not parts[_TERM].startswith("GO:"):
                    continue
                if "NOT" not in parts[_QUALIFIER].split("|"):
                    found.setdefault(parts[_SYMBOL].strip(), set()).add(parts[_TERM])
    except (OSError, EOFError) as error:
        raise BenchError(f"{path}: cannot be read ({error}). Is it whole? Get the file again.") from error
    if not found:
        raise BenchError(
            f"{path}: no annotation in it. Expected a GAF file (goa_human.gaf.gz: 17 columns parted by tabs, the term "
            f"in the fifth), or GEARS' gene2go_all.pkl."
        )
    return {gene: frozenset(terms) for gene, terms in found.items()}


def read_obo(path: Path) -> dict[str, frozenset[str]]:
    """Every ancestor of each term, by ``is_a`` and ``part_of``, of an ontology in OBO format.

    Raises:
        BenchError: No term in it, or terms that are ancestors of themselves.
    """
    first_bytes(path)
    parents: dict[str, set[str]] = {}
    term = ""
    with _open(path) as handle:
        for line in handle:
            if line.startswith("["):
                term = ""
            elif match := re.match(r"id: (GO:\d+)", line):
                term = match[1]
                parents.setdefault(term, set())
            elif term and (match := re.match(r"(?:is_a:|relationship: part_of) (GO:\d+)", line)):
                parents[term].add(match[1])
    if not parents:
        raise BenchError(f"{path}: no term in it. Expected an ontology in OBO format, such as go-basic.obo.")
    above: dict[str, frozenset[str]] = {}
    for start in parents:
        stack = [start]  # not by recursion: a file may nest as deep as it likes
        while stack:
            term = stack[-1]
            waiting = [p for p in parents.get(term, ()) if p not in above]
            if not waiting:
                above[term] = frozenset(parents.get(term, ())).union(*(above[p] for p in parents.get(term, ())))
                stack.pop()
            elif set(waiting) & set(stack):
                raise BenchError(f"{path}: term {term} is its own ancestor. Get the file again.")
            else:
                stack.append(waiting[0])
    return above


def with_ancestors(terms: Terms, above: Mapping[str, frozenset[str]]) -> Terms:
    """The terms of each gene and all that these are part of: the "true path rule" of GO."""
    return {gene: of.union(*(above.get(term, frozenset()) for term in of)) for gene, of in terms.items()}


def neighbours(terms: Terms, most: int = NEIGHBOURS, least: float = LEAST) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each gene's most similar genes by the Jaccard index of their terms, ``|A & B| / |A | B|``.

    Args:
        terms: By gene, in order.
        most: Neighbours of a gene; of equals the earlier gene is taken.
        least: Pairs under this index are none.

    Returns:
        Gene, neighbour and index of each pair.

    Source: the GO graph of Roohani et al. 2023 (GEARS).
    """
    words = {term: i for i, term in enumerate(sorted(set().union(*terms.values())))}
    sizes = np.array([len(of) for of in terms.values()], dtype=np.float64)
    columns = np.array([words[term] for of in terms.values() for term in sorted(of)], dtype=np.int64)
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    table = sp.csr_matrix((np.ones(len(columns)), columns, begins), shape=(len(sizes), len(words)))
    found = []
    for start in range(0, len(sizes), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(sizes)))
        shared = np.asarray((table[rows] @ table.T).todense())
        index = shared / (sizes[rows][:, None] + sizes - shared)
        index[np.arange(len(rows)), rows] = 0
        near = np.argsort(-index, axis=1, kind="stable")[:, :most]
        value = np.take_along_axis(index, near, axis=1)
        at, column = np.nonzero(value >= least)
        found.append((rows[at], near[at, column], value[at, column]))
    a, b, weight = (np.concatenate(each) for each in zip(*found, strict=True))
    return a, b, weight


def read_ontology(
    path: Path, name: str, genes: Collection[str], obo: Path | None = None, width: int = WIDTH
) -> FeatureBank:
    """Embed genes by the graph of those that share GO terms.

    Args:
        path: Annotations, see :func:`read_annotations`.
        name: The bank's name.
        genes: Those that are to be described.
        obo: The ontology: with it a gene has the ancestors of its terms too.
        width: Dimensions.

    Raises:
        BenchError: No annotations, none of these genes, or no two that share terms.
    """
    terms = read_annotations(path)
    mine = {gene: terms[gene] for gene in sorted(set(genes) & terms.keys())}
    if not mine:
        raise BenchError(
            f"{path}: annotates none of the {len(genes):,} genes of the data ({', '.join(sorted(genes)[:3])}, ...); "
            f"its genes are {', '.join(list(terms)[:3])}, ... Choose the file of the same species, by symbol."
        )
    whole = with_ancestors(mine, read_obo(obo)) if obo else mine
    return embed_pairs(np.array(list(whole)), *neighbours(whole), name, str(path), width)
