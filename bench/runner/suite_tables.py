"""Tables that the evaluations ask for beside the cells: pathways, mechanisms, essential genes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.core.door.tables import read_csv
from bench.core.errors import BenchError
from bench.data.dataset import Dataset
from bench.data.features.bank import shorten
from bench.data.features.gene_pairs import pair_names
from bench.data.simulate.card import genes_of
from bench.data.simulate.genes import Regulation
from bench.evaluations.biojepac.inputs import Pathways
from bench.evaluations.biojepac.pathways import pathways_of

#: The pair table that is looked at where none is named and it is there.
USUAL_PAIRS = "gene_pairs/Reactome.csv.gz"


@dataclass(frozen=True)
class Tables:
    """Files that the user named.

    Attributes:
        pairs: Gene-gene pair tables (``entity1``, ``entity2``).
        pathways: A table of genes and their pathway.
        mechanisms: A table of perturbations and their mechanism.
        essential: A table of genes and 1 (essential) or 0.
    """

    pairs: tuple[Path, ...] = ()
    pathways: Path | None = None
    mechanisms: Path | None = None
    essential: Path | None = None


def pathways(tables: Tables, dataset: Dataset) -> tuple[tuple[Pathways, ...], str]:
    """Pathways of the genes, and why there are none.

    Without a file, simulated data have their modules, and others the pairs of Reactome where these are at hand.

    Raises:
        BenchError: A file that is none.
    """
    found = [pathways_of(_stem(path), {}, pair_names(path)) for path in tables.pairs]
    if tables.pathways:
        found.append(pathways_of(_stem(tables.pathways), two_columns(tables.pathways, "gene", "pathway")))
    if found:
        return tuple(found), ""
    drawn = genes_of(dataset.card)
    if isinstance(drawn, Regulation):
        largest = np.abs(drawn.loadings).argmax(axis=1)
        group = {gene: f"module {m + 1}" for gene, m in zip(drawn.genes.tolist(), largest.tolist(), strict=True)}
        return (pathways_of("the simulator's modules", group),), ""
    if drawn is None and dataset.card is not None:
        try:
            path = dataset.card.find(USUAL_PAIRS, "pairs")
        except BenchError:
            return (), "no pathways: name a table by --pairs or --pathways"
        return (pathways_of(_stem(path), {}, pair_names(path)),), ""
    return (), "no pathways: name a table by --pairs or --pathways"


def mechanisms(tables: Tables, dataset: Dataset) -> tuple[Mapping[str, str] | None, str]:
    """Mechanism of each perturbed gene or compound, and why there are none.

    Simulated data have the program of genes that a regulator moves most, and where to; who moves nothing has none.

    Raises:
        BenchError: A file that is none.
    """
    if tables.mechanisms:
        return two_columns(tables.mechanisms, "perturbation", "mechanism"), ""
    drawn = genes_of(dataset.card)
    if isinstance(drawn, Regulation):
        at = np.abs(drawn.outgoing).argmax(axis=1)
        most = np.take_along_axis(drawn.outgoing, at[:, None], axis=1)[:, 0]
        return {
            gene: f"program {p + 1} {'up' if x > 0 else 'down'}"
            for gene, p, x in zip(drawn.genes.tolist(), at.tolist(), most.tolist(), strict=True)
            if abs(x) > 1e-9
        }, ""
    return None, "no mechanisms: name a table by --mechanisms"


def essential(tables: Tables) -> tuple[Mapping[str, int] | None, str]:
    """1 or 0 by gene, and why there is none.

    Raises:
        BenchError: A file that is none, or other values than 1 and 0.
    """
    if tables.essential is None:
        return None, "no essential genes: name a table by --essential"
    found = two_columns(tables.essential, "gene", "essential")
    if odd := {value for value in found.values() if value not in ("0", "1", "0.0", "1.0")}:
        raise BenchError(
            f"{tables.essential}: column 'essential' holds {shorten(sorted(odd), 3)}; expected 1 (essential) or 0."
        )
    return {gene: int(float(value)) for gene, value in found.items()}, ""


def two_columns(path: Path, key: str, value: str) -> dict[str, str]:
    """Read a table of names and what is said of them.

    Raises:
        BenchError: No such columns, an empty cell, or a name that stands twice with different values.
    """
    table = read_csv(path, dtype=str, keep_default_na=False)
    for column in (key, value):
        if column not in table:
            raise BenchError(
                f"{path}: no column '{column}' (columns: {shorten([*map(str, table.columns)], 5)}). Expected columns "
                f"{key} and {value}."
            )
    found: dict[str, str] = {}
    for row, (name, said) in enumerate(zip(table[key].str.strip(), table[value].str.strip(), strict=True), start=1):
        if not name or not said:
            raise BenchError(f"{path}: data row {row} has an empty cell in column '{value if name else key}'.")
        if found.setdefault(name, said) != said:
            raise BenchError(f"{path}: '{name}' stands twice, as '{found[name]}' and as '{said}'. Keep one of them.")
    return found


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]
