"""A gene-to-GO-terms file (GEARS' ``gene2go_all.pkl``, or JSON), read so that nothing in it can be executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.door.documents import read_json
from bench.core.door.pickles import read_pickle
from bench.core.door.tables import first_bytes
from bench.core.errors import BenchError
from bench.core.text import an
from bench.data.cards import Card

_EXPECTED = "Expected a pickle or JSON of {gene: set or list of GO terms}, such as GEARS' gene2go_all.pkl."


def find_gene2go(file: str, card: Card | None, dataset: str) -> Path:
    """Look for a file in the working folder, then where the data set's card looks for its source.

    Raises:
        BenchError: It is nowhere; the message says where to put it.
    """
    here = Path(file).expanduser()
    if here.is_file():
        return here
    card = card or Card.model_construct(name=dataset, source=file)
    path = card.find(file, "gene2go", "Choose another gene2go file, or get it")
    if not path.is_file():
        raise BenchError(f"{path}: a folder, where a gene2go file is expected.")
    return path


def read_gene2go(path: Path) -> dict[str, frozenset[str]]:
    """Read the GO terms of genes; genes without a term are left out.

    Args:
        path: A pickle, or JSON where the name ends in ``.json``.

    Raises:
        BenchError: A web page, a pickle that asks for more than containers of text (nothing in it is executed), a
            damaged file, or other content.

    Source of the format: cell-gears 0.1.2, ``PertData.__init__`` (which opens it with ``pickle.load``).
    """
    first_bytes(path)
    if path.suffix.lower() == ".json":
        return _checked(read_json(path, "a readable gene2go file", _EXPECTED), path)
    return _checked(read_pickle(path, "a gene2go file", _EXPECTED), path)


def _checked(content: Any, path: Path) -> dict[str, frozenset[str]]:
    if not isinstance(content, dict):
        raise BenchError(f"{path}: holds {an(type(content).__name__)}. {_EXPECTED}")
    for gene, terms in content.items():
        if not isinstance(gene, str):
            raise BenchError(f"{path}: key {gene!r} is no gene name. {_EXPECTED}")
        if not isinstance(terms, set | frozenset | list) or not all(isinstance(term, str) for term in terms):
            raise BenchError(f"{path}: the terms of '{gene}' are no set or list of text. {_EXPECTED}")
    found = {gene: frozenset(terms) for gene, terms in content.items() if terms}
    if not found:
        raise BenchError(f"{path}: no gene has a GO term. {_EXPECTED}")
    return found
