"""What a response is fitted on, from the cells of a task and a frozen encoder: means, shifts, bases and start cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from bench.core.conditions import bare, constituents, single
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule
from bench.data.dataset import Dataset
from bench.data.task import Task
from bench.models.response.actions import ActionTable
from bench.models.response.config import Residual, ResponseConfig
from bench.models.response.mean_head import ResponseTask, Targets
from bench.models.response.starts import Between, bag_starts, cell_starts, latent_starts
from bench.nn.encoder import Encoded
from bench.stats.shifts import additive, shifts_by_identity
from bench.training.embedding import Embed, Rows, Scale, Singles, embed_rows

#: (condition, context) by index.
Keys = tuple[tuple[int, int], ...]


def make_task(
    datamodule: PerturbationDataModule,
    table: ActionTable,
    embed: Embed,
    standardised: Callable[[torch.Tensor], Encoded],
    scale: Scale,
    weights: Floats,
    settings: ResponseConfig,
) -> ResponseTask:
    """Take the means of the train and val conditions, and what is predicted before anything is learned.

    Args:
        datamodule: The task.
        table: Actions of the conditions.
        embed: The frozen encoder's pooled vectors.
        standardised: The frozen encoder, its pooled vector standardised.
        scale: Of the pooled vectors.
        weights: Of the linear decoder from them to genes ``[G, D]``.
        settings: Parts of the response.
    """
    own = settings.latent_target == "own"

    def latents(rows: Rows) -> Singles:
        return scale(embed_rows(embed, datamodule.dataset.x, rows))

    dataset = datamodule.dataset
    of = dataset.context[datamodule.control_rows]
    controls = [
        datamodule.control_rows[of == c] if (of == c).any() else datamodule.control_rows
        for c in range(len(dataset.contexts))
    ]
    control_z = [latents(rows) for rows in controls]
    parts: dict[str, Targets] = {}
    shifts: dict[str, tuple[Keys, Floats, Floats]] = {}
    roles: tuple[Literal["train", "val"], ...] = ("train", "val")
    for part in roles:
        bulk = datamodule.pseudobulk(part)
        names = zip(bulk.conditions, bulk.contexts, strict=True)
        keys = tuple((dataset.conditions.index(name), dataset.contexts.index(context)) for name, context in names)
        target = bulk.shifts
        if own:
            target = np.empty((0, len(scale.mean)))
            if keys:
                rows = datamodule.rows(part)
                start = np.stack([control_z[c].mean(axis=0) for _, c in keys])
                target = _means_of(latents(rows), dataset, rows, keys) - start
        shifts[part] = (keys, bulk.shifts, target)
        parts[part] = Targets(
            torch.tensor([k for k, _ in keys], dtype=torch.int64),
            torch.tensor([c for _, c in keys], dtype=torch.int64),
            torch.from_numpy(target.astype(np.float32)),
        )
    keys, genes, target = shifts["train"]
    residual = base_residual(datamodule.task, settings.residual)

    def rebase(kept: torch.Tensor) -> torch.Tensor:
        rows = np.flatnonzero(kept.numpy())
        some = tuple(keys[i] for i in rows.tolist())
        base = base_of(dataset.conditions, some, target[rows], residual)
        return torch.from_numpy(base.astype(np.float32))

    # The last is of a gene that is none: of a perturbation of which nothing is known.
    bases = torch.from_numpy(base_of((*dataset.conditions, single("")), keys, genes, residual))
    pooled = [torch.from_numpy(z) for z in control_z]
    learned = sorted({c for _, c in keys})
    if settings.predictor != "film":
        starts = cell_starts([torch.from_numpy(dataset.x[rows].toarray()) for rows in controls], standardised)
        between = Between.none(len(scale.mean))
    elif len(learned) > 1:
        between = Between.of(torch.stack([pooled[c].mean(dim=0) for c in learned]))
        starts = bag_starts(pooled, between)
    else:
        starts = latent_starts(pooled)
        between = Between.none(len(scale.mean))
    return ResponseTask(
        table=table,
        base=rebase(torch.ones(len(keys), dtype=torch.bool)),
        base_genes=bases[:-1],
        base_unseen=bases[-1],
        additive=residual == "additive",
        rebase=rebase,
        train=parts["train"],
        val=parts["val"],
        all_known=all_known(datamodule, table),
        new_contexts=new_contexts(datamodule.task),
        starts=starts,
        between=between,
        to_genes=torch.from_numpy(weights.astype(np.float32)) if own else None,
        latent_width=len(scale.mean),
        genes=len(datamodule.genes),
    )


def bare_task(table: ActionTable, genes: int, latent_width: int, own: bool, heads: int) -> ResponseTask:
    """What a response that was kept is rebuilt on: shapes, and nothing to learn from.

    Args:
        table: Actions of the conditions asked for.
        genes: Number of genes.
        latent_width: Width of the encoder's latents.
        own: Whether shifts of latents are predicted.
        heads: Attention heads of the encoder.
    """
    conditions, width = len(table.missing), latent_width if own else genes
    none = torch.empty(0, dtype=torch.int64)
    targets = Targets(none, none, torch.empty(0, width))
    base = torch.zeros(conditions, width)
    return ResponseTask(
        table=table,
        base=base,
        base_genes=torch.zeros(conditions, genes),
        base_unseen=torch.zeros(genes),
        additive=False,
        rebase=lambda kept: base,
        train=targets,
        val=targets,
        all_known=False,
        new_contexts=False,
        starts=latent_starts([]),
        between=Between.none(latent_width),
        to_genes=torch.empty(genes, latent_width) if own else None,
        latent_width=latent_width,
        genes=genes,
        heads=heads,
    )


def new_contexts(task: Task) -> bool:
    """Whether no train unit is in a context of the test units: what a response is asked is how contexts differ."""
    return not {u.context for u in task.units_of("test")} & {u.context for u in task.units_of("train")}


def base_residual(task: Task, residual: Residual) -> Residual:
    """What a response adds to, in this task.

    Where train units hold every perturbation that is tested, though in other contexts, its mean there is known of each:
    the train mean *of that perturbation* is then what ``train_mean`` stands for, as ``additive`` has it.
    """
    tested, learned = ({bare(u.perturbation) for u in task.units_of(part)} for part in ("test", "train"))
    return "additive" if residual == "train_mean" and tested <= learned else residual


def all_known(datamodule: PerturbationDataModule, table: ActionTable) -> bool:
    """Whether train conditions perturb every gene of the test conditions, as in the split ``doubles``."""
    tested = [datamodule.dataset.conditions.index(name) for name in datamodule.split.test]
    perturbed = [len(constituents(name)) for name in datamodule.split.test]
    return bool(((table.identity[tested] > 0).sum(dim=1) == torch.tensor(perturbed)).all())


def _means_of(z: Any, dataset: Dataset, rows: Any, keys: Keys) -> Floats:
    """Mean latent of each (condition, context) ``[T, D]`` of cells ``rows`` with latents ``z``."""
    code = dataset.condition[rows].astype(np.int64) * len(dataset.contexts) + dataset.context[rows]
    wanted = np.array([k * len(dataset.contexts) + c for k, c in keys])
    order = np.argsort(wanted)
    group = order[np.searchsorted(wanted[order], code)]
    sums = np.zeros((len(keys), z.shape[1]))
    np.add.at(sums, group, z.astype(np.float64))
    return np.asarray(sums / np.bincount(group, minlength=len(keys))[:, None])


def base_of(conditions: tuple[str, ...], keys: Keys, shifts: Floats, residual: Residual) -> Floats:
    """Say what each condition is predicted to do before anything is learned.

    Args:
        conditions: Names of all conditions ``[C]``.
        keys: (condition, context) of the targets that it is taken from ``[T]``.
        shifts: Their shifts ``[T, W]``.
        residual: What a response adds to.

    Returns:
        ``[C, W]``.
    """
    out = np.zeros((len(conditions), shifts.shape[1]))
    if residual == "none" or not keys:
        return out
    # Each (condition, context) counts once, as in the floor: a context with more cells is not more typical of others.
    names = sorted({k for k, _ in keys})
    member = np.array([[k == name for k, _ in keys] for name in names], dtype=np.float64)
    by_condition = (member @ shifts) / member.sum(axis=1, keepdims=True)
    mean = shifts.mean(axis=0)
    if residual == "train_mean":
        return np.asarray(out + mean)
    known = shifts_by_identity([conditions[name] for name in names], by_condition)
    for i, condition in enumerate(conditions):
        if constituents(condition):
            out[i] = additive(condition, known, mean)[0]
    return out
