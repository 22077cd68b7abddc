"""Rows of a track that takes latents: who can be asked for some, by name, and what it says of held-out cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.errors import BenchError, unknown
from bench.core.track import Track
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule
from bench.data.known_latents import Problem
from bench.models import registry
from bench.models.encoder_model import EncoderModel
from bench.models.latents import perturbed
from bench.models.latents.vae import fit_vae
from bench.models.perturbed_vae.perturbed_vae import PerturbedVAE
from bench.results.latents import Latents
from bench.results.records import Budget, Kind
from bench.results.spec import label
from bench.results.trained import Trained
from bench.runner.config import budget_of
from bench.runner.effort import Effort
from bench.runner.model_choice import ModelChoice, choose, resolve_arguments
from bench.tracks import registry as tracks
from bench.training.fit import FitContext

#: Variational autoencoders of one block, and whether each is told the perturbation.
VAES = {"vae": False, "conditional_vae": True}
#: The model that learns nothing.
UNTRAINED = "random_encoder"


@dataclass(frozen=True)
class Row:
    """Who makes the latents.

    Attributes:
        name: Name of the row.
        kind: See :class:`bench.results.records.Record`.
        version: Of what makes them.
        arguments: Its arguments, resolved.
        variant: Those that differ from what the row's name stands for.
    """

    name: str
    kind: Kind = "model"
    version: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    variant: Mapping[str, Any] = field(default_factory=dict)


class Made(NamedTuple):
    """Latents, and how they were made."""

    latents: Latents
    trained: Trained


@dataclass(frozen=True)
class Maker:
    """A row that can be made on any screen.

    Attributes:
        label: The row's name, which is the same on every screen.
        row: Its identity, for a screen.
        make: Its latents, under a training seed.
        drawn: Whether another training seed gives other latents.
        kept: Whether moments of them are kept, as they do not follow from the screen and the seed alone.
    """

    label: str
    row: Callable[[Problem], Row]
    make: Callable[[Problem, int], Made]
    drawn: bool = True
    kept: bool = True


def beside(track: Track) -> tuple[str, ...]:
    """Names of the rows that stand beside every model."""
    return (*tracks.evaluation(track).REFERENCES, *VAES, UNTRAINED)


@lru_cache(maxsize=256)  # a suite asks for one row on many screens
def maker(track: Track, named: str, effort: Effort) -> Maker:
    """Find a row.

    Args:
        track: Takes latents, and has references of its own.
        named: A reference, ``vae``, ``conditional_vae``, ``perturbed_vae`` or a model with an encoder; arguments of a
            model after a colon: ``perturbed_vae:ablation=no_align,alpha=0.05``.
        effort: What it may spend, where it is trained.

    Raises:
        BenchError: No such row, a model without latents, or an argument that it does not have.
    """
    name, _, text = named.partition(":")
    given = _arguments(named, text)
    references = tracks.evaluation(track).REFERENCES
    if name in references or name in VAES:
        if given:
            raise BenchError(f"'{named}': {name} takes no arguments.")
        return _reference(name, references[name]) if name in references else _vae(name, effort)
    if name not in registry.entries():
        raise unknown("row", name, (*beside(track), *_with_latents()))
    if name == "perturbed_vae":
        return _perturbed(given, effort)
    choice = choose(name)
    if not issubclass(choice.model_class, EncoderModel):
        raise BenchError(
            f"model '{name}' has no latents of single cells; those that have: {', '.join(_with_latents())}."
        )
    return _encoder(name, given, effort)


def _with_latents() -> list[str]:
    """Registered models that embed cells."""
    return ["perturbed_vae", *sorted(n for n in registry.entries() if issubclass(choose(n).model_class, EncoderModel))]


def _arguments(named: str, text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not key or not equals or not value:
            raise BenchError(f"'{named}': expected argument=value after the colon, got '{part}'.")
        found[key.strip().replace("-", "_")] = value.strip()
    return found


def _reference(name: str, found: Any) -> Maker:
    def make(problem: Problem, seed: int) -> Made:
        return Made(found.make(problem, seed), Trained(Budget(trials=1)))

    return Maker(name, lambda problem: Row(name, found.kind), make, found.drawn, found.rounded)


def _places(problem: Problem) -> NDArray[np.int64]:
    """Index of each condition of the truth in the task's data set."""
    names = problem.task.dataset.conditions
    return np.array([names.index(str(name)) for name in problem.truth.conditions])


def _vae(name: str, effort: Effort) -> Maker:
    def make(problem: Problem, seed: int) -> Made:
        module = PerturbationDataModule(problem.task, seed=seed)
        model = fit_vae(module, conditional=VAES[name], width=problem.width, learning_rate=3e-3, **asdict(effort))
        condition = torch.from_numpy(_places(problem)[problem.code])
        z = model.embed(torch.from_numpy(problem.x), condition).double().numpy()
        size = sum(p.numel() for p in model.parameters())
        cells = effort.steps * effort.batch_size
        spent = Budget(steps=effort.steps, cells_seen=cells, trials=1, parameters={"autoencoder": size})
        return Made(Latents(z), Trained(spent))

    row = Row(name, arguments=asdict(effort), variant=effort.variant)
    return Maker(label(name, effort.variant), lambda problem: row, make)


def _perturbed(given: Mapping[str, str], effort: Effort) -> Maker:
    variant = _variant(choose("perturbed_vae"), given, effort)

    def arguments(problem: Problem) -> dict[str, Any]:
        p = problem.truth.parameters
        # The model has one latent of background at least: where the screen has none, one block is not to be wider.
        spare = 1 if given.get("ablation") == "no_sep" and not p.d_i else 0
        ours = {
            "d_v": max(p.d_v - spare, 1),
            "d_i": max(p.d_i, 1),
            "hidden": effort.hidden,
            "batch_size": effort.batch_size,
            # Steps are what is asked for; half of them the weight of the divergences rises, as by default.
            "epochs": 2,
            "warm_up": 1,
            "min_steps": effort.steps,
            "action_width": 32,  # of a mechanism of ten latents, not of 35
            # Every perturbation is one of training: there is nothing that its features would have to stand in for.
            "identity_dropout": 0.0,
        }
        return resolve_arguments(choose("perturbed_vae"), {**ours, **given})

    def make(problem: Problem, seed: int) -> Made:
        model = PerturbedVAE(**arguments(problem))
        _fit(problem, model, seed, lambda module: model.fit(module))
        places, n = _places(problem), problem.n_singles
        said = perturbed.read(model, problem.x, places[problem.code], places[:n].tolist(), places[n:-1].tolist())
        block = said.invariant
        if block is not None and not problem.z_i.shape[1]:
            block = None  # the screen has no background to be found: the model's single latent for it is not judged
        latents = Latents(said.perturbed, block, said.effects, said.graph, said.shifts if len(said.shifts) else None)
        warnings = tuple(word for word in model.warnings if "have no features" not in word)
        masks = f"; masks on {said.on:.2f}, true {problem.truth.effects.mask.mean():.2f}" if said.on == said.on else ""
        return Made(latents, Trained(budget_of(model.fit_report), f"{model.fit_report.selection}{masks}", warnings))

    def row(problem: Problem) -> Row:
        return Row("perturbed_vae", "model", PerturbedVAE.version, arguments(problem), variant)

    return Maker(label("perturbed_vae", variant), row, make)


def _encoder(name: str, given: Mapping[str, str], effort: Effort) -> Maker:
    choice = choose(name)
    known, variant = registry.arguments(choice.model_class), _variant(choice, given, effort)

    def arguments(problem: Problem) -> dict[str, Any]:
        cells = min(len(problem.task.rows("train")) + len(problem.task.dataset.cells_of["ctrl"]), 10_240)
        ours = {
            "width": problem.width,
            "components": problem.width,
            "heads": 1,  # a width need not be a multiple of it
            "hidden": effort.hidden,
            "batch_size": effort.batch_size,
            "epochs": max(1, round(effort.steps / -(-cells // effort.batch_size))),
        }
        return resolve_arguments(choice, {**{k: v for k, v in ours.items() if k in known}, **given})

    def make(problem: Problem, seed: int) -> Made:
        resolved = arguments(problem)
        model: Any = choice.model_class(**resolved)
        _fit(problem, model, seed, model.freeze_encoder, evaluates_encoder=True)
        with torch.inference_mode():
            z: Floats = model.embed(torch.from_numpy(problem.x)).double().numpy()
        report = model.fit_report
        return Made(Latents(z), Trained(budget_of(report), report.selection, tuple(model.warnings)))

    def row(problem: Problem) -> Row:
        return Row(name, choice.model_class.row_kind, choice.model_class.version, arguments(problem), variant)

    return Maker(label(name, variant), row, make)


def _variant(choice: ModelChoice, given: Mapping[str, str], effort: Effort) -> dict[str, Any]:
    """What differs from what a model's name stands for, each value in its argument's type."""
    resolved = resolve_arguments(choice, given)
    return effort.variant | {name: resolved[name] for name in given}


def _fit(
    problem: Problem,
    model: Any,
    seed: int,
    fit: Callable[[PerturbationDataModule], None],
    evaluates_encoder: bool = False,
) -> None:
    """Fit a model as a run would; nothing is written."""
    model.fit_context = FitContext(head_seed=seed, evaluates_encoder=evaluates_encoder)
    lightning.seed_everything(seed, workers=True, verbose=False)
    try:
        fit(PerturbationDataModule(problem.task, seed=seed))
    except ValueError as error:
        raise BenchError(f"'{type(model).__name__}' on {problem.name}: {error}.") from error
