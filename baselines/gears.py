"""GEARS itself (cell-gears 0.1.2): its network and loss, on its co-expression graph and, where given, on GO."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from baselines._gears_cells import CellGraphs, CellPairs, heard, most_differential
from baselines._gears_graphs import Graph, coexpression, ontology, perturbations, undisturbed
from bench.core.conditions import constituents
from bench.core.files import sha256_file
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.features.gene2go import find_gene2go, read_gene2go
from bench.data.features.resolve import targets
from bench.models.base import PerturbationModel
from bench.stats.shifts import row_mean
from bench.training.trainer import one_thread

# The published setting. Source: cell-gears 0.1.2, gears/gears.py, ``GEARS.model_initialize`` and ``GEARS.train``.
HIDDEN, DECODER_HIDDEN = 64, 16
GO_LAYERS, GENE_LAYERS = 1, 1
DIRECTION = 1e-1
RATE, WEIGHT_DECAY = 1e-3, 5e-4
#: ``StepLR(optimizer, step_size=1, gamma=0.5)``.
DECAY = 0.5
#: ``clip_grad_value_(self.model.parameters(), clip_value=1.0)``.
CLIP = 1.0
#: cell-gears' README and demos: ``get_dataloader(batch_size=32, test_batch_size=128)``; val is loaded by the first.
BATCH = 32


class Gears(PerturbationModel):
    """The published network, loss and training loop of GEARS, on this task's split and input controls.

    One trial, of the published setting; the epoch is the one of the smallest val error of GEARS' own (mean squared
    error of the 20 most differential genes). Where this differs from GEARS: controls are the input controls, paired
    within a cell's context and batch; genes without a GO term stay as nodes without edges; no test cell is looked at.

    What the published code does, and this therefore does too: its prediction does not depend on the control cell, to
    which a shift is added; the co-expression graph reaches only the first cell of a batch (the edges name no other
    node); the direction loss has no gradient.

    An unseen target without a GO neighbour that training has touched keeps its random embedding: a fallback.

    Args:
        epochs: Passes over the train cells; 20 as published. The rate is halved after each.
        gene2go: File of GO terms by gene (``gene2go_all.pkl`` of GEARS, or JSON); without one the GO graph is empty.

    Source: Roohani, Huang and Leskovec 2024 (GEARS), doi:10.1038/s41587-023-01905-6; cell-gears 0.1.2.
    """

    emits_cells = False

    def __init__(self, epochs: int = 20, gene2go: str | None = None) -> None:
        super().__init__()
        if epochs < 1:
            raise ValueError("epochs must be at least 1")
        self.epochs, self.gene2go = epochs, gene2go
        self._missing: dict[str, int] = {}

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Make the graphs, train, and keep the shifts of the conditions that will be asked for."""
        with undisturbed():
            import gears  # noqa: F401 - 5 to 15 seconds, and it seeds torch: before anything is drawn
        terms = self._terms(datamodule)
        nodes = perturbations(datamodule, terms)
        go = ontology(nodes, terms)
        with one_thread():
            network = self._network(datamodule, nodes, go)
            self._train(network, datamodule, nodes)
            self._keep(network, datamodule, nodes)
        self._count_missing(datamodule, nodes, go, terms)
        self.fit_report.parameters = {"fit": sum(p.numel() for p in network.parameters())}

    def _terms(self, datamodule: PerturbationDataModule) -> Mapping[str, frozenset[str]] | None:
        if self.gene2go is None:
            return None
        path = find_gene2go(self.gene2go, datamodule.dataset.card, datamodule.dataset.name)
        self.inputs["gene2go"] = sha256_file(path)
        return read_gene2go(path)

    def _network(self, datamodule: PerturbationDataModule, nodes: list[str], go: Graph) -> nn.Module:
        """The real ``GEARS_Model``, from the head seed."""
        genes = coexpression(datamodule)
        with undisturbed():
            from gears.model import GEARS_Model

            torch.manual_seed(self.fit_context.head_seed)
            network: nn.Module = GEARS_Model(
                {
                    "num_genes": len(datamodule.genes),
                    "num_perts": len(nodes),
                    "hidden_size": HIDDEN,
                    "decoder_hidden_size": DECODER_HIDDEN,
                    "num_go_gnn_layers": GO_LAYERS,
                    "num_gene_gnn_layers": GENE_LAYERS,
                    "uncertainty": False,
                    "no_perturb": False,
                    "G_coexpress": genes.edges,
                    "G_coexpress_weight": genes.weights,
                    "G_go": go.edges,
                    "G_go_weight": go.weights,
                    # The network names its device in many places; it stays where it is made.
                    "device": torch.device("cuda" if torch.cuda.is_available() else "cpu"),
                }
            )
        return network.to(_device(network))

    def _train(self, network: nn.Module, datamodule: PerturbationDataModule, nodes: list[str]) -> None:
        """``GEARS.train``, with the batches of this task."""
        with undisturbed():
            from gears.utils import loss_fct
        device, split = _device(network), datamodule.split
        pairs = CellPairs(datamodule, nodes, "train", controls=True)
        batch_size = min(BATCH, len(pairs))
        control = torch.from_numpy(row_mean(datamodule.dataset.x, datamodule.control_rows).astype(np.float32)).to(
            device
        )
        genes = {code: columns.to(device) for code, columns in heard(datamodule).items()}
        held = CellPairs(datamodule, nodes, "val", controls=False, top=most_differential(datamodule))
        adam = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.StepLR(adam, step_size=1, gamma=DECAY)
        errors: list[float] = []
        best = deepcopy(network.state_dict())
        for epoch in range(self.epochs):
            network.train()
            order = np.random.default_rng([self.fit_context.head_seed, epoch, 0x6EA5]).permutation(len(pairs))
            for batch in pairs.batches(batch_size, order):
                batch.to(device)
                adam.zero_grad()
                loss = loss_fct(
                    network(batch), batch.y, batch.pert, ctrl=control, dict_filter=genes, direction_lambda=DIRECTION
                )
                loss.backward()
                nn.utils.clip_grad_value_(network.parameters(), clip_value=CLIP)
                adam.step()
                self.fit_report.steps += 1
                self.fit_report.cells_seen += len(batch.pert)
            schedule.step()
            errors.append(self._val_error(network, held) if len(held) else 0.0)
            # Without val conditions the last epoch stays; GEARS cannot be trained without any.
            if not len(held) or errors[-1] < min(errors[:-1], default=np.inf):
                best = deepcopy(network.state_dict())
            self._tell(epoch, errors[-1], float(loss.detach()))
        network.load_state_dict(best)
        self.fit_report.trials = 1
        count = len(split.val)
        chosen = f"epoch {int(np.argmin(errors)) + 1} of {self.epochs}: smallest squared error of the top 20 genes"
        how = f"{chosen} of {count} val conditions" if count else f"the last of {self.epochs} epochs: no val conditions"
        self.fit_report.selection = f"published setting, one trial; {how}"

    def _tell(self, epoch: int, error: float, loss: float) -> None:
        self.fit_context.say(f"gears {100 * (epoch + 1) // self.epochs}%")
        if self.fit_context.logger:
            self.fit_context.logger.log_metrics({"gears/loss": loss, "gears/val_mse_de": error}, self.fit_report.steps)

    def _val_error(self, network: nn.Module, held: CellPairs) -> float:
        """``val_metrics['mse_de']`` by GEARS' own evaluation."""
        with undisturbed():
            from gears.inference import compute_metrics, evaluate

            found, _ = compute_metrics(evaluate(held.batches(BATCH), network, False, _device(network)))
        return float(found["mse_de"])

    @torch.no_grad()
    def _keep(self, network: nn.Module, datamodule: PerturbationDataModule, nodes: list[str]) -> None:
        """Shift of the first cell of a batch, and of the others, by condition ``[2, C, G]``.

        The network adds the same to every control, so two empty cells show all that it would predict.
        """
        network.eval()
        index = {gene: i for i, gene in enumerate(nodes)}
        table = torch.full((2, len(datamodule.dataset.conditions), len(datamodule.genes)), float("nan"))
        for name in datamodule.predicted_conditions:
            batch = _empty(len(datamodule.genes), [index[gene] for gene in constituents(name)], _device(network))
            table[:, datamodule.dataset.conditions.index(name)] = network(batch).cpu()
        self.register_buffer("table", table.double())

    def _count_missing(
        self,
        datamodule: PerturbationDataModule,
        nodes: list[str],
        go: Graph,
        terms: Mapping[str, frozenset[str]] | None,
    ) -> None:
        index = {gene: i for i, gene in enumerate(nodes)}
        trained = set().union(*(go.sources(index[gene]) for gene in targets(datamodule.split.train)))
        blind = {gene for gene in targets(datamodule.predicted_conditions) if not trained & go.sources(index[gene])}
        self._missing = {
            name: sum(gene in blind for gene in constituents(name)) for name in datamodule.predicted_conditions
        }
        if terms is None:
            self.warnings.append(
                "no gene2go file: the GO graph is empty, and unseen targets are predicted from random embeddings"
            )
        elif bare := [gene for gene in targets(datamodule.dataset.conditions) if gene not in terms]:
            self.warnings.append(f"{len(bare)} perturbed genes have no GO term and no edge ({', '.join(bare[:3])} ...)")

    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> torch.Tensor:
        """Add the condition's shift to its input cells; the first cell gets the one of the co-expression graph."""
        first, other = self.get_buffer("table")[:, batch.condition]
        out: torch.Tensor = batch.controls.to(other.dtype) + other
        out[0] += (first - other)[0]
        return out

    def fallbacks(self, condition: str) -> int:
        """Count the condition's targets whose embedding training has not touched."""
        return self._missing[condition]


def _device(network: Any) -> torch.device:
    device: torch.device = network.args["device"]
    return device


def _empty(genes: int, perturbed: list[int], device: torch.device) -> CellGraphs:
    """Two graphs of cells without expression, for the network."""
    batch = CellGraphs(
        x=torch.zeros((2 * genes, 1)),
        y=torch.zeros((2, genes)),
        pert_idx=[perturbed, perturbed],
        pert=[0, 0],
        de_idx=[],
        batch=torch.arange(2),
    )
    return batch.to(device)
