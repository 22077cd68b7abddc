"""What a fitted model gives the evaluations, part by part; a part that it does not have is missing, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data import heldout
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Part, Task
from bench.evaluations.biojepac import uncertainty
from bench.evaluations.biojepac.inputs import Averaged, Latents, Spread, Vectors, truth_of
from bench.evaluations.biojepac.retrieval import in_loader_order
from bench.models.encoder_model import EncoderModel
from bench.models.response import as_published
from bench.models.response.token_head import TokenHead
from bench.nn.composer import Composer
from bench.nn.gene_transformer import GeneTransformer
from bench.runner import candidates
from bench.runner.encoder import FrozenEncoder
from bench.stats.embedding import embed_rows as embed_cells
from bench.stats.embedding import standardise
from bench.stats.shifts import row_mean
from bench.training.embedding import MAX_CELLS, embed_rows, linear_decoder, scale_of, spread_rows

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel

T = TypeVar("T")
Rows = NDArray[np.int64]
#: Cells of a unit whose latents are held against their predicted distribution, and values of each cell.
CELLS, VALUES = 4, 256
#: Cells of a unit that are embedded, and train cells by which latents are standardised.
LATENT_CELLS, MAX_TRAIN = 40, 1_000
#: Control cells of a context from which a unit is predicted, the same for all.
INPUT_CELLS = 64
PARTS: tuple[Part, ...] = ("train", "val", "test")


class Missing(Exception):
    """A model does not have what an evaluation asks for; the text says what."""


def means(model: PerturbationModel, task: Task, units: tuple[Unit, ...], seed: int, name: str) -> Floats:
    """Predicted means of units ``[T, G]``.

    Raises:
        BenchError: The model predicts NaN, infinity or another shape.
    """
    found = candidates.predict(model, PerturbationDataModule(task, seed=seed, asked=units), name, INPUT_CELLS)
    return np.stack([found[unit] for unit in units])


def head_of(model: PerturbationModel) -> nn.Module | None:
    """The first network of a model's response, or what was trained beside its encoder."""
    response = getattr(model, "response", None)
    networks = getattr(response, "networks", None) or [getattr(response, "trained", None)]
    head: nn.Module | None = networks[0]
    return head


def composer_of(model: PerturbationModel) -> Composer | None:
    """What makes action vectors, where a model has that."""
    head = head_of(model)
    found = dict(head.named_children()).get("composer") if head is not None else None
    return found if isinstance(found, Composer) else None


def averaged(model: PerturbationModel, module: PerturbationDataModule, seed: int, name: str) -> Averaged:
    """All items as the published retrieval predicts them, in the context of the first test unit.

    A token model is asked for latents, through the wrong projector and with the sum in place of the log total; any
    other for expression, from the same averaged control cell.
    """
    task, data = module.task, module.dataset
    tested = [unit for unit in task.units_of("test") if unit.perturbation != CONTROL]
    if not tested:
        raise Missing("no test perturbations")
    where = tested[0].context
    here = [unit for part in PARTS for unit in task.units_of(part) if unit.context == where]
    here = [unit for unit in here if unit.perturbation != CONTROL]
    names = tuple(dict.fromkeys(unit.perturbation for unit in here))
    conditions = [data.conditions.index(each) for each in names]
    context = data.contexts.index(where)
    cell = torch.from_numpy(module.input_means[context][None].astype(np.float32))
    rows = np.sort(np.concatenate([data.unit_rows(unit) for unit in tested if unit.context == where]))
    asked = in_loader_order([data.conditions[i] for i in data.condition[rows].tolist()])
    of = {each: row_mean(data.x, data.unit_rows(Unit(each, where))) for each in asked}
    head = head_of(model)
    if isinstance(model, EncoderModel) and isinstance(head, TokenHead):
        index = torch.tensor(conditions)
        predicted = as_published.latents_of_items(model.encoder, head, cell, index, published=True)

        def encoded(x: torch.Tensor) -> Floats:
            pooled = as_published.encode(model.encoder, x, published=True).pooled
            return np.asarray(pooled.double().numpy())

        cells = torch.from_numpy(np.stack([of[each] for each in asked]).astype(np.float32))
        wrong = "the wrong projector, " if len(head.table.widths) > 1 else ""
        note = f"latents, {wrong}the sum in place of the log total, one averaged control cell"
        said, start = predicted.double().numpy(), encoded(cell)
        queries = np.concatenate([encoded(cells[i : i + 64]) for i in range(0, len(cells), 64)])
    else:
        said = model.predict_means(cell.to(model.device), conditions, context).cpu().double().numpy()
        start, queries = cell.double().numpy(), np.stack([of[each] for each in asked])
        note = "expression, one averaged control cell, perturbed genes included"
    return Averaged((*names, CONTROL), np.concatenate([said, start]), asked, queries, note)


def latents(model: PerturbationModel, task: Task, seed: int) -> Latents:
    """Embedded cells of test units and reference controls."""
    if not isinstance(model, EncoderModel):
        raise Missing("no latents: the model has no encoder")
    try:
        cells = heldout.draw(task, seed)
    except BenchError as error:
        raise Missing(f"no latents: {error}") from error
    rng = np.random.default_rng([seed, 0xE5])
    chosen = rng.permutation(len(cells.rows))
    first = np.concatenate([chosen[cells.unit[chosen] == u][:LATENT_CELLS] for u in range(len(cells.units))])
    unit, batch = cells.unit[first], cells.batches[first]
    embed = FrozenEncoder(model, dict(model.inputs))
    train = heldout.subsample(task.rows("train"), MAX_TRAIN, rng)
    seen, z, controls = (
        embed_cells(task.dataset.x, rows, embed) for rows in (train, cells.rows[first], cells.controls)
    )
    strata, own = heldout.strata(task.dataset, cells.controls), heldout.strata(task.dataset, cells.rows[first])
    pools = {code: np.flatnonzero(strata == code) for code in np.unique(own).tolist()}
    every = np.arange(len(strata))
    partner = np.zeros(len(own), dtype=np.int64)
    for code, pool in pools.items():
        mine = np.flatnonzero(own == code)
        if len(every):
            partner[mine] = rng.choice(pool if len(pool) else every, len(mine))
    units = tuple(Unit(*pair) for pair in cells.units)
    return Latents(
        standardise(z, seen), unit, batch, units, standardise(controls, seen), cells.control_batches, partner
    )


@torch.no_grad()
def gene_vectors(model: PerturbationModel, module: PerturbationDataModule) -> Vectors:
    """A vector per measured gene: the encoder's own, or the weights by which genes are decoded from its latents."""
    if not isinstance(model, EncoderModel):
        raise Missing("no gene vectors: the model has no encoder")
    genes = tuple(module.genes)
    if isinstance(model.encoder, GeneTransformer):
        table = model.encoder.embedding[:, : model.encoder.width]
        return Vectors(genes, table.detach().double().numpy())
    rows = spread_rows(module.representation_rows("train"), MAX_CELLS, module.seed)
    z = embed_rows(model.embed, module.dataset.x, rows)
    weights, _ = linear_decoder(scale_of(z)(z), module.dataset.x[rows])
    if not np.abs(weights).max() > 1e-12:
        raise Missing("no gene vectors: the latents say nothing of any gene")
    return Vectors(genes, weights, note="weights of a linear decoder: the encoder has no vectors of genes")


@torch.no_grad()
def action_vectors(model: PerturbationModel, module: PerturbationDataModule) -> Vectors:
    """The action vector of every gene that is perturbed alone."""
    composer = composer_of(model)
    if composer is None or not isinstance(model, EncoderModel):
        raise Missing("no action vectors: the model composes none")
    singles = [
        (i, constituents(name)[0]) for i, name in enumerate(module.dataset.conditions) if len(constituents(name)) == 1
    ]
    index = torch.tensor([i for i, _ in singles], dtype=torch.int64)
    if not len(index):
        raise Missing("no action vectors: nothing is perturbed alone")
    table = model.action_table
    values, present = as_published.actions(table, composer.eval(), index)
    wrong, _ = as_published.actions(table, composer, index, published=True)
    kept = [i for i in range(len(singles)) if bool(present[i, 0])]
    if not kept:
        raise Missing("no action vectors: no perturbed gene has features")
    several = len(table.widths) > 1
    return Vectors(
        tuple(singles[i][1] for i in kept),
        values[kept, 0].double().numpy(),
        wrong[kept, 0].double().numpy() if several else None,
        "published: through the wrong projector" if several else "one feature bank: there is no wrong projector",
    )


def spread(model: PerturbationModel, module: PerturbationDataModule, y_hat: Floats, name: str) -> Spread:
    """What a model says of its own uncertainty: of latents, or by how much its networks differ."""
    head = head_of(model)
    if isinstance(model, EncoderModel) and isinstance(head, TokenHead):
        return _of_latents(model, head, module)
    if isinstance(model, EncoderModel) and len(getattr(model.response, "networks", ())) > 1:
        return _of_networks(model, module, y_hat, name)
    raise Missing("no uncertainty: the model gives neither a variance nor several networks that could differ")


def _of_latents(model: EncoderModel, head: TokenHead, module: PerturbationDataModule) -> Spread:
    """Tokens of perturbed cells beside the Gaussian that is predicted from a control cell of the same batch."""
    task, seed = module.task, module.seed
    rng = np.random.default_rng([seed, 0xE4])
    at = rng.choice(len(module.genes) * head.width, min(VALUES, len(module.genes) * head.width), replace=False)
    tested = _tokens(model, head, module, task.units, rng, at)
    val = task.units_of("val") or task.units_of("train")[:20]
    chosen = _tokens(model, head, module, tuple(val), rng, at)
    constant = np.sqrt(((chosen.target - chosen.mean) ** 2).mean(axis=0))
    return Spread(
        "a Gaussian over latents of cells", tested.score, tested.error, tested.mean, tested.sd, tested.target,
        np.ones_like(tested.mean, dtype=np.bool_), constant, tested.unit, task.units,
    )  # fmt: skip


@torch.no_grad()
def _tokens(
    model: EncoderModel, head: TokenHead, module: PerturbationDataModule, units: tuple[Unit, ...],
    rng: np.random.Generator, at: Rows,
) -> Spread:  # fmt: skip
    data, controls = module.dataset, module.control_rows
    stratum = heldout.strata(data, np.arange(data.x.shape[0]))
    score, error, mean, sd, target, unit = [], [], [], [], [], []
    for u, each in enumerate(units):
        rows = rng.permutation(data.unit_rows(each))[:CELLS]
        same = [controls[stratum[controls] == stratum[row]] for row in rows.tolist()]
        partner = np.array([rng.choice(pool if len(pool) else controls) for pool in same])
        cells, start = (torch.from_numpy(data.x[r].toarray()) for r in (rows, partner))
        context = model.encoder(start)
        condition = torch.full((len(rows),), data.conditions.index(each.perturbation))
        predicted, logvar = head(context, condition)
        expression = (start + head.decode(predicted, context)).clamp(min=0)
        score.append(logvar.mean(dim=(1, 2)))
        error.append((expression - cells).square().mean(dim=1))
        mean.append(predicted.flatten(1)[:, at])
        sd.append((logvar.flatten(1)[:, at] / 2).exp())
        target.append(model.encoder(cells).tokens.flatten(1)[:, at])
        unit.append(torch.full((len(rows),), u))
    score_, error_, mean_, sd_, target_ = (
        torch.cat(found).double().numpy() for found in (score, error, mean, sd, target)
    )
    every = np.ones(mean_.shape, dtype=np.bool_)
    return Spread("", score_, error_, mean_, sd_, target_, every, np.ones(1), torch.cat(unit).numpy(), units)


def _of_networks(model: EncoderModel, module: PerturbationDataModule, y_hat: Floats, name: str) -> Spread:
    """How much the networks of a model differ, beside its error on val units."""
    task = module.task
    each = np.stack([means(one, task, task.units, module.seed, name) for one in model.members()])
    val = task.units_of("val")
    constant = np.full(y_hat.shape[1], np.nan)
    if val:
        bulk = module.pseudobulk("val")
        said = means(model, task, bulk.units, module.seed, name)
        place = [module.dataset.contexts.index(unit.context) for unit in bulk.units]
        constant = np.sqrt(((said - module.input_means[place] - bulk.shifts) ** 2).mean(axis=0))
    return uncertainty.of_networks(truth_of(task), each, y_hat, constant)


def part(make: Callable[[], T], name: str, reasons: dict[str, str]) -> T | None:
    """Make a part; where it is missing, keep the reason under its name."""
    try:
        return make()
    except Missing as reason:
        reasons[name] = str(reason)
        return None
