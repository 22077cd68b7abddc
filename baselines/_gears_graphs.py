"""The two graphs of GEARS, made by cell-gears itself: co-expression of genes, and GO similarity of perturbations."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.bank import shorten

#: ``GEARS.model_initialize``: ``coexpress_threshold=0.4``, ``num_similar_genes_{go,co_express}_graph=20``.
THRESHOLD = 0.4
NEIGHBOURS = 20


@dataclass(frozen=True)
class Graph:
    """A weighted graph.

    Attributes:
        edges: Source and target of each edge ``[2, E]``, int64.
        weights: ``[E]``.
    """

    edges: torch.Tensor
    weights: torch.Tensor

    def sources(self, target: int) -> set[int]:
        """Nodes whose embedding reaches a node in one layer, itself included."""
        return {target, *self.edges[0, self.edges[1] == target].tolist()}


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Import and call cell-gears without its side effects.

    It seeds torch and silences all warnings at import, and prints.
    """
    with (
        torch.random.fork_rng(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield


def coexpression(datamodule: PerturbationDataModule) -> Graph:
    """Correlations above .4 of each gene with its 20 nearest, over input controls and train cells of singles.

    Source: ``gears.utils.get_coexpression_network_from_train``, which takes the train conditions that name ``ctrl``.
    """
    with undisturbed():
        import anndata
        import pandas as pd
        from gears.utils import GeneSimNetwork, get_coexpression_network_from_train

        cells, genes = datamodule.dataset, datamodule.genes
        rows = np.concatenate([datamodule.control_rows, datamodule.rows("train")])
        condition = np.array(
            [CONTROL] * len(datamodule.control_rows)
            + [cells.conditions[i] for i in cells.condition[rows[len(datamodule.control_rows) :]]]
        )
        adata = anndata.AnnData(
            cells.x[rows],
            obs=pd.DataFrame({"condition": condition}, index=[str(i) for i in range(len(rows))]),
            var=pd.DataFrame({"gene_name": genes}, index=genes),
        )
        # It writes what it found into a folder.
        with tempfile.TemporaryDirectory(prefix="bench-gears-") as folder:
            (Path(folder) / "data").mkdir()
            table = get_coexpression_network_from_train(
                adata,
                THRESHOLD,
                NEIGHBOURS,
                folder,
                "data",
                "split",
                0,
                0,
                {"train": [CONTROL, *datamodule.split.train]},
            )
        network = GeneSimNetwork(table, genes, {gene: i for i, gene in enumerate(genes)})
    return Graph(network.edge_index, network.edge_weight)


def perturbations(datamodule: PerturbationDataModule, gene2go: Mapping[str, frozenset[str]] | None) -> list[str]:
    """The nodes of the perturbation graph, sorted: every perturbed gene; with GO, every measured gene that has terms.

    Source: ``PertData.set_pert_genes`` with ``default_pert_graph=False``. GEARS leaves out conditions whose genes have
    no GO term; here such a gene is a node without edges.

    Raises:
        BenchError: No perturbed gene is in the file.
    """
    perturbed = {gene for name in datamodule.dataset.conditions for gene in constituents(name)}
    if gene2go is None:
        return sorted(perturbed)
    if not perturbed & set(gene2go):
        raise BenchError(
            f"gene2go: none of the {len(perturbed)} perturbed genes ({shorten(sorted(perturbed), 3)}) is in the file, "
            f"whose genes are {shorten(sorted(gene2go), 3)}. Name genes as the data do."
        )
    return sorted(perturbed | (set(datamodule.genes) & set(gene2go)))


def ontology(nodes: Sequence[str], gene2go: Mapping[str, frozenset[str]] | None) -> Graph:
    """Jaccard similarities of GO terms above .1, of each perturbation with its 20 nearest; empty without a file.

    Source: ``gears.utils.get_GO_edge_list`` and ``get_similarity_network``; ``make_GO`` around them starts 25
    processes and writes into the working folder.
    """
    if gene2go is None:
        return Graph(torch.empty((2, 0), dtype=torch.long), torch.empty(0))
    with undisturbed():
        import pandas as pd
        from gears.utils import GeneSimNetwork, get_GO_edge_list

        known = {gene: gene2go[gene] for gene in nodes if gene in gene2go}
        edges = [edge for gene in known for edge in get_GO_edge_list((gene, known))]
        table = pd.DataFrame(edges, columns=["source", "target", "importance"])
        nearest = pd.concat([of.nlargest(NEIGHBOURS + 1, ["importance"]) for _, of in table.groupby("target")])
        network = GeneSimNetwork(nearest, list(nodes), {g: i for i, g in enumerate(nodes)})
    return Graph(network.edge_index, network.edge_weight)
