"""Gene feature banks of a task: what a model is told about the genes that are perturbed.

A specification is one bank, or several joined by ``+``; they stay separate, as models project each on its own:

- ``pca``: principal-component scores over the train conditions' means and the input cells;
- ``coexpression``: correlation with all genes over train cells and input controls, reduced by SVD;
- ``pairs:FILE``: spectral embedding of a gene-gene pair table (``.csv``, ``.csv.gz``; columns entity1, entity2);
- ``FILE``: a table ``.parquet``, ``.csv``, ``.csv.gz`` or ``.npz`` with a row per gene (paths hold no ``+``);
- ``fingerprints``, ``fingerprints:radius=3,bits=2048``: Morgan fingerprints of compounds, from the card's ``smiles``;
- ``view_a``, ``view_b``: tables that simulated data ship;
- ``card``: those that the data set's card names (``features:``), ``pca`` where it names none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.core.conditions import constituents
from bench.core.errors import BenchError, unknown
from bench.core.typing import Floats
from bench.data.cards import Card
from bench.data.dataset import Dataset
from bench.data.features import fingerprints
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.gene_embedding import correlation, gene_scores, leading
from bench.data.features.gene_pairs import PAIR_SUFFIXES, read_pairs
from bench.data.features.tables import TABLE_SUFFIXES, read_table
from bench.data.simulate.card import genes_of

if TYPE_CHECKING:
    from bench.data.datamodule import PerturbationDataModule

__all__ = ["FeatureBank", "load_banks", "targets"]

MEASURED = ("pca", "coexpression")
#: How features are made where there are none.
HOW = "features from STRING, GO or a table: bench data features DATA --from string|go|table --file FILE"
PAIRS = "pairs:"


def targets(conditions: Iterable[str]) -> tuple[str, ...]:
    """The perturbed genes of these conditions, sorted, each once.

    Example:
        >>> targets(["SET+KLF1", "KLF1+ctrl", "ctrl"])
        ('KLF1', 'SET')
    """
    return tuple(sorted({gene for name in conditions for gene in constituents(name)}))


def advice(dataset: Dataset) -> str:
    """Say how to get features, where the card names none but those from expression and these describe few targets.

    Returns:
        A sentence; empty where over nine tenths of the perturbed genes are measured.
    """
    if dataset.card is None or set(dataset.card.features) - set(MEASURED) or dataset.card.kind == "chemical":
        return ""
    perturbed = targets(dataset.conditions)
    without = [gene for gene in perturbed if gene not in dataset.gene_index]
    if len(without) <= len(perturbed) / 10:
        return ""
    return (
        f"{len(without)} of {len(perturbed)} perturbed genes are not measured, so features from expression say nothing "
        f"of them; {HOW}"
    )


def load_banks(spec: str, datamodule: PerturbationDataModule, card: Card | None = None) -> tuple[FeatureBank, ...]:
    """Load or make the feature banks of a specification, in its order.

    Banks made from expression see train cells and input controls alone. Files are looked for in the working folder,
    then where the card's source is looked for; those that the card itself names, only there.

    Args:
        spec: See the module.
        datamodule: The task.
        card: The data set's card; by default the one that the cells were loaded from.

    Raises:
        BenchError: Unknown bank, missing or bad file, a file that describes no perturbed gene, or one bank twice.
    """
    card = card or datamodule.dataset.card
    banks: list[FeatureBank] = []
    for part in (part.strip() for part in spec.split("+")):
        if part == "card":
            named = card.features if card else ("pca",)
            banks += [_load(each, datamodule, card, from_card=True) for each in named]
        else:
            banks.append(_load(part, datamodule, card, from_card=False))
    names = [bank.name for bank in banks]
    for i, name in enumerate(names):
        if name in names[:i]:
            first = banks[names.index(name)]
            raise BenchError(
                f"features '{spec}': two banks are named '{name}' ({first.source}; {banks[i].source}). "
                f"Name each bank once, and give files different names."
            )
    return tuple(banks)


def _load(spec: str, datamodule: PerturbationDataModule, card: Card | None, from_card: bool) -> FeatureBank:
    if spec in MEASURED:
        return _measured(spec, datamodule)
    if spec.partition(":")[0] == fingerprints.NAME:
        return _fingerprints(spec, datamodule, card)
    drawn = genes_of(card)
    shipped = drawn.feature_tables if drawn else {}
    if drawn and spec in shipped:
        values = shipped[spec].astype(np.float32)
        return FeatureBank(spec, tuple(drawn.genes.tolist()), values, f"table '{spec}' of the simulated data")
    # Names of files are prefixed: a table 'train' or 'values' would clash with a torch module's own attributes.
    pairs = spec.startswith(PAIRS)
    file, suffixes = spec.removeprefix(PAIRS), PAIR_SUFFIXES if pairs else TABLE_SUFFIXES
    if not pairs and not _is_path(file):
        others = ["card", f"{PAIRS}FILE", "FILE.parquet|.csv|.npz"]
        raise unknown("features", spec, [*MEASURED, fingerprints.NAME, *shipped, *others])
    if not file.endswith(suffixes):
        raise BenchError(f"features '{spec}': expected a file that ends in {', '.join(suffixes)}.")
    # Data without a card: files are looked for in the same places, but beside it.
    path = _find(file, card or Card.model_construct(name=datamodule.dataset.name, source=file), from_card)
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.name.removesuffix(".gz").rsplit(".", 1)[0])
    bank = read_pairs(path, f"pairs_{stem}") if pairs else read_table(path, f"table_{stem}")
    _check_overlap(bank, targets(datamodule.dataset.conditions))
    return bank


def _fingerprints(spec: str, datamodule: PerturbationDataModule, card: Card | None) -> FeatureBank:
    """Fingerprints of the compounds; others of a table than those of the data set are left out."""
    smiles, source = dict(datamodule.dataset.smiles), f"SMILES of '{datamodule.dataset.name}'"
    if card and card.smiles and card.smiles_column is None:
        path = card.find(card.smiles, "smiles", "Choose other features, or get the file")
        smiles, source = fingerprints.read_smiles(path), str(path)
    perturbed = targets(datamodule.dataset.conditions)
    if not (described := {name: smiles[name] for name in perturbed if name in smiles}):
        there = f"; compounds there are {shorten(list(smiles), 3)}" if smiles else ""
        raise BenchError(
            f"features '{spec}': no compound of '{datamodule.dataset.name}' has SMILES ({shorten(perturbed, 3)}"
            f"{there}). Name them in the card: smiles: COLUMN of obs, or smiles: FILE.csv with columns compound and "
            f"smiles."
        )
    return fingerprints.morgan(described, source, *fingerprints.options_of(spec))[0]


def _is_path(text: str) -> bool:
    """Whether a word is meant as a file: a misspelt bank has neither folder nor suffix."""
    return "/" in text or "\\" in text or "." in text


def _find(file: str, card: Card, from_card: bool) -> Path:
    here = Path(file).expanduser()
    if not from_card and here.is_file():
        return here
    path = card.find(file, "features", "Choose other features, or get the file")
    if not path.is_file():
        raise BenchError(f"{path}: a folder, where a file of features is expected.")
    return path


def _measured(kind: str, datamodule: PerturbationDataModule) -> FeatureBank:
    """Make a bank from the cells that a model may learn from; genes silent in all of them have no features."""
    cells = datamodule.dataset
    if kind == "pca":
        # The input cells stand for the control, contexts counting alike, as in the linear baseline.
        means = np.vstack([datamodule.pseudobulk("train").by_condition().means, datamodule.input_means.mean(axis=0)])
        heard = np.flatnonzero((means > 0).any(axis=0))
        values: Floats = gene_scores(means)[heard]
        source = "principal components of train conditions and input cells"
    else:
        rows = np.union1d(datamodule.rows("train"), datamodule.control_rows)
        matrix, heard = correlation(cells.x, rows)
        values = leading(matrix)
        source = "co-expression over train cells and input controls"
    if not values.size:
        raise BenchError(f"features '{kind}': no gene of '{cells.name}' varies over the train cells.")
    silent = len(cells.genes) - len(heard)
    notes = (f"{silent} of {len(cells.genes)} genes are silent in what a model may see: not described",)
    genes = tuple(cells.genes[heard].tolist())
    return FeatureBank(kind, genes, values.astype(np.float32), source, notes if silent else ())


def _check_overlap(bank: FeatureBank, perturbed: tuple[str, ...]) -> None:
    """Refuse a file that describes none of the perturbed genes.

    Raises:
        BenchError: With the likely reason: another case, other identifiers.
    """
    if len(bank.missing(perturbed)) < len(perturbed):
        return
    folded = {gene.casefold(): gene for gene in bank.genes}
    alike = [(gene, folded[gene.casefold()]) for gene in perturbed if gene.casefold() in folded]
    if alike:
        ours, theirs = alike[0]
        hint = (
            f"Without regard to case {len(alike)} agree ('{theirs}' there, '{ours}' in the data): "
            f"the file may be of another species, or spells genes differently."
        )
    elif all(gene.upper().startswith("ENS") for gene in bank.genes[:20]):
        hint = "The file names genes by Ensembl identifiers; name them as the data do."
    else:
        hint = "Name genes as the data do."
    raise BenchError(
        f"{bank.source}: describes none of the {len(perturbed)} perturbed genes of the data set "
        f"({shorten(perturbed, 3)}); its genes are {shorten(bank.genes, 3)}. {hint}"
    )
