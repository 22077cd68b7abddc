"""``bench data features NAME --from string|go|table``: a features file, and what it says of the perturbed genes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError, unknown
from bench.core.files import atomic, cache_dir
from bench.data.features.bank import FeatureBank
from bench.data.features.gene_embedding import WIDTH
from bench.data.features.make.ontology import read_ontology
from bench.data.features.make.scored_pairs import MEDIUM, looks_like_pairs, read_scored_pairs
from bench.data.features.tables import TABLE_SUFFIXES, read_table
from bench.data.fetch.plain import fetch_plain, is_address
from bench.data.task import load_dataset

SOURCES = ("string", "go", "table")
#: Tables that may hold pairs.
_TEXT = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")


def obtained(file: str | Path) -> Path:
    """A file as it is, or what an address sends.

    Raises:
        BenchError: No such file, or an address that cannot be fetched.
    """
    if is_address(str(file)):
        return fetch_plain(str(file), cache_dir() / "features")
    path = Path(file).expanduser()
    if not path.is_file():
        raise BenchError(f"no such file: {path}")
    return path


def build(
    data: str,
    source: str,
    file: str | Path,
    out: Path,
    info: str | Path | None = None,
    obo: str | Path | None = None,
    least: float = MEDIUM,
    width: int | None = None,
) -> Iterator[str]:
    """Make features of genes and write them as a parquet file that a card's ``features`` may name.

    Args:
        data: A shipped name, a card or a file: whose genes are asked for.
        source: ``string``: pairs of genes with a score; ``go``: GO annotations; ``table``: a row of numbers per gene,
            or pairs with weights.
        file: The file, or its address.
        out: The parquet file to write.
        info: STRING's ``protein.info``, or its address.
        obo: The ontology, or its address.
        least: Smallest score of a pair.
        width: Features; absent = 32 of a graph, all of a table.

    Yields:
        Lines for people.

    Raises:
        BenchError: An unusable file, or one that describes none of the perturbed genes.
    """
    _check(source, out, width, info, obo)
    dataset = load_dataset(data)
    perturbed = sorted({gene for name in dataset.conditions if name != CONTROL for gene in constituents(name)})
    path, name = obtained(file), re.sub(r"\W", "_", out.stem)
    if source == "go":
        genes = {*perturbed, *dataset.genes.tolist()}
        bank = read_ontology(path, name, genes, obtained(obo) if obo else None, width or WIDTH)
    elif source == "string" or looks_like_pairs(path, _TEXT):
        bank = read_scored_pairs(path, name, obtained(info) if info else None, least, width or WIDTH)
    elif path.name.endswith(TABLE_SUFFIXES):
        bank = reduced(read_table(path, name), width)
    else:
        raise BenchError(f"{path}: expected a table that ends in {', '.join(TABLE_SUFFIXES)}.")
    missing = bank.missing(perturbed)
    if len(missing) == len(perturbed):
        raise BenchError(
            f"{path}: describes none of the {len(perturbed)} perturbed genes of '{dataset.name}' "
            f"({', '.join(perturbed[:3])}, ...); its genes are {', '.join(bank.genes[:3])}, ... Name genes as the data "
            f"do, or choose the file of the same species."
        )
    write(bank, out)
    yield (
        f"{out}: {bank.width} features of {len(bank.genes):,} genes; {len(perturbed) - len(missing)} of "
        f"{len(perturbed)} perturbed genes" + (f", not {', '.join(missing[:5])}" if missing else "")
    )
    yield from (f"note: {note}" for note in bank.notes)
    yield f"in a card beside it: features: [{out.name}]; for one run: --features {out}"


def _check(source: str, out: Path, width: int | None, info: object, obo: object) -> None:
    if source not in SOURCES:
        raise unknown("source of features", source, SOURCES)
    if out.suffix != ".parquet":
        raise BenchError(f"--out {out}: features are written as a parquet file; end its name in .parquet.")
    if width is not None and width < 1:
        raise BenchError(f"--width {width}: expected a number of features from 1.")
    if info and source == "go":
        raise BenchError("--info names STRING's proteins; --from go has no use for it.")
    if obo and source != "go":
        raise BenchError("--obo is the ontology of GO terms; it goes with --from go.")


def reduced(bank: FeatureBank, width: int | None) -> FeatureBank:
    """The leading principal components of a wide table; the table itself where it is not wider.

    Args:
        bank: A table ``[N, F]``.
        width: Components; None = all columns as they are.
    """
    if width is None or bank.width <= width:
        return bank
    from sklearn.decomposition import PCA

    model = PCA(min(width, len(bank.genes)), random_state=0)
    scores = model.fit_transform(bank.values.astype(np.float64))
    share = model.explained_variance_ratio_.sum()
    note = f"{scores.shape[1]} principal components of {bank.width:,} columns, {share:.0%} of their variance"
    return FeatureBank(bank.name, bank.genes, scores.astype(np.float32), bank.source, (*bank.notes, note))


def write(bank: FeatureBank, path: Path) -> None:
    """Write a bank as a parquet table with the genes as its index."""
    import pandas as pd

    columns = [f"{bank.name}_{i}" for i in range(bank.width)]
    table = pd.DataFrame(bank.values, index=pd.Index(list(bank.genes), name="gene"), columns=columns)
    with atomic(path) as temporary:
        table.to_parquet(temporary)
