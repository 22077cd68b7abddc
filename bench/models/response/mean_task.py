"""What a response is fitted on, from the cells of a task and a frozen encoder: means, shifts, bases and start cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule
from bench.data.dataset import Dataset
from bench.models.response.actions import ActionTable
from bench.models.response.config import CELLS, Residual, ResponseConfig
from bench.models.response.mean_head import ResponseTask, Targets
from bench.nn.encoder import Encoded
from bench.stats.shifts import additive, group_sums, shifts_by_identity
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

    controls = [
        datamodule.control_rows[datamodule.dataset.context[datamodule.control_rows] == c]
        if (datamodule.dataset.context[datamodule.control_rows] == c).any()
        else datamodule.control_rows
        for c in range(len(datamodule.dataset.contexts))
    ]
    control_z = [latents(rows) for rows in controls]
    control_genes = datamodule.input_means
    parts: dict[str, Targets] = {}
    cells: dict[str, Floats] = {}
    shifts: dict[str, tuple[Keys, Floats, Floats]] = {}
    for part in ("train", "val"):
        keys, means, cells[part] = _means_by_context(
            datamodule.dataset, getattr(datamodule.split, part), datamodule.dataset.x
        )
        genes = means - control_genes[[c for _, c in keys]] if keys else means
        target = genes
        if own:
            rows = datamodule.dataset.rows(getattr(datamodule.split, part))
            z_means = (
                _means_of(latents(rows), datamodule.dataset, rows, keys) if keys else np.empty((0, len(scale.mean)))
            )
            target = z_means - np.stack([control_z[c].mean(axis=0) for _, c in keys]) if keys else z_means
        shifts[part] = (keys, genes, target)
        parts[part] = Targets(
            torch.tensor([k for k, _ in keys], dtype=torch.int64),
            torch.tensor([c for _, c in keys], dtype=torch.int64),
            torch.from_numpy(target.astype(np.float32)),
        )
    keys, genes, target = shifts["train"]

    def rebase(kept: torch.Tensor) -> torch.Tensor:
        rows = np.flatnonzero(kept.numpy())
        some = tuple(keys[i] for i in rows.tolist())
        base = base_of(datamodule.dataset.conditions, some, target[rows], cells["train"][rows], settings.residual)
        return torch.from_numpy(base.astype(np.float32))

    pooled = [torch.from_numpy(z) for z in control_z]
    starts = None
    if settings.predictor != "film":
        starts = [torch.from_numpy(datamodule.dataset.x[rows].toarray()) for rows in controls]
    return ResponseTask(
        table=table,
        base=rebase(torch.ones(len(keys), dtype=torch.bool)),
        base_genes=torch.from_numpy(
            base_of(datamodule.dataset.conditions, keys, genes, cells["train"], settings.residual)
        ),
        rebase=rebase,
        train=parts["train"],
        val=parts["val"],
        all_known=all_known(datamodule, table),
        starts=_starts(pooled, starts, standardised),
        to_genes=torch.from_numpy(weights.astype(np.float32)) if own else None,
        latent_width=len(scale.mean),
        genes=len(datamodule.genes),
    )


def all_known(datamodule: PerturbationDataModule, table: ActionTable) -> bool:
    """Whether train conditions perturb every gene of the test conditions, as in the split ``doubles``."""
    tested = [datamodule.dataset.conditions.index(name) for name in datamodule.split.test]
    perturbed = [len(constituents(name)) for name in datamodule.split.test]
    return bool(((table.identity[tested] > 0).sum(dim=1) == torch.tensor(perturbed)).all())


def _means_by_context(dataset: Dataset, names: tuple[str, ...], x: Any) -> tuple[Keys, Floats, Floats]:
    """Which (condition, context) have cells, their mean expression ``[T, G]`` and their number of cells ``[T]``."""
    index = {name: i for i, name in enumerate(dataset.conditions)}
    wanted = np.full(len(dataset.conditions), -1)
    wanted[[index[name] for name in names]] = np.arange(len(names))
    code = np.where(
        wanted[dataset.condition] >= 0, wanted[dataset.condition] * len(dataset.contexts) + dataset.context, -1
    )
    present = np.unique(code[code >= 0])
    if not len(present):
        return (), np.empty((0, x.shape[1])), np.empty(0)
    group = np.where(code >= 0, np.searchsorted(present, code), -1)
    sums, _, cells = group_sums(x, group, len(present))
    keys = tuple((index[names[p // len(dataset.contexts)]], p % len(dataset.contexts)) for p in present.tolist())
    return keys, sums / cells[:, None], cells


def _means_of(z: Any, dataset: Dataset, rows: Any, keys: Keys) -> Floats:
    """Mean latent of each (condition, context) ``[T, D]`` of cells ``rows`` with latents ``z``."""
    code = dataset.condition[rows].astype(np.int64) * len(dataset.contexts) + dataset.context[rows]
    wanted = np.array([k * len(dataset.contexts) + c for k, c in keys])
    order = np.argsort(wanted)
    group = order[np.searchsorted(wanted[order], code)]
    sums = np.zeros((len(keys), z.shape[1]))
    np.add.at(sums, group, z.astype(np.float64))
    return np.asarray(sums / np.bincount(group, minlength=len(keys))[:, None])


def base_of(conditions: tuple[str, ...], keys: Keys, shifts: Floats, cells: Floats, residual: Residual) -> Floats:
    """Say what each condition is predicted to do before anything is learned.

    Args:
        conditions: Names of all conditions ``[C]``.
        keys: (condition, context) of the targets that it is taken from ``[T]``.
        shifts: Their shifts ``[T, W]``.
        cells: Their cells ``[T]``.
        residual: What a response adds to.

    Returns:
        ``[C, W]``.
    """
    out = np.zeros((len(conditions), shifts.shape[1]))
    if residual == "none" or not keys:
        return out
    # A known condition counts its contexts by their cells; in the mean each (condition, context) counts once, as in
    # the floor.
    names = sorted({k for k, _ in keys})
    member = np.array([[k == name for k, _ in keys] for name in names], dtype=np.float64) * cells
    by_condition = (member @ shifts) / member.sum(axis=1, keepdims=True)
    mean = shifts.mean(axis=0)
    if residual == "train_mean":
        return np.asarray(out + mean)
    known = shifts_by_identity([conditions[name] for name in names], by_condition)
    for i, condition in enumerate(conditions):
        if constituents(condition):
            out[i] = additive(condition, known, mean)[0]
    return out


def _starts(
    pooled: list[torch.Tensor], cells: list[torch.Tensor] | None, encode: Callable[[torch.Tensor], Encoded]
) -> Callable[[torch.Tensor, torch.Generator | None], Encoded]:
    """Make the draw of start cells: cached pooled latents, or cells to be encoded where tokens are needed."""

    def start(context: torch.Tensor, generator: torch.Generator | None) -> Encoded:
        if generator is None:
            which = torch.arange(CELLS).repeat(len(context))
            context = context.repeat_interleave(CELLS)
        else:
            which = torch.randint(2**31, (len(context),), generator=generator)
        pool = cells if cells is not None else pooled
        taken = torch.stack([pool[c][w % len(pool[c])] for c, w in zip(context.tolist(), which.tolist(), strict=True)])
        return encode(taken) if cells is not None else Encoded(taken[:, None], taken)

    return start
