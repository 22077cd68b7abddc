"""What is to be run, resolved: every argument has its value, every name was found; written as JSON for workers."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from bench.core.errors import BenchError
from bench.core.given_files import recorded
from bench.data.known_latents import SPLIT
from bench.data.task import Task
from bench.models import registry
from bench.results.board import REPLICATE
from bench.results.records import Budget
from bench.results.spec import RunSpec
from bench.runner import model_choice
from bench.runner.effort import Effort
from bench.runner.model_choice import ModelChoice, instance_arguments, load_class, resolve_arguments
from bench.runner.tracking import Tracking

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel
    from bench.training.fit import FitReport

#: (split, pretrain, head) seeds of a run.
Seeds = tuple[int, int, int]


class RunConfig(BaseModel):
    """A model, its arguments, and the tasks that it is run on. ``model_dump_json`` and back gives an equal one.

    Attributes:
        model: Registered name, or the dotted path of a class from elsewhere.
        arguments: Every constructor argument, resolved.
        variant: Those that differ from the defaults, or from the config's.
        data: Name, card or file.
        split: Kind; ``None`` = the card's default.
        split_file: JSON of a custom split.
        seeds: ``(split, pretrain, head)`` seeds of each run.
        folds: Control folds of each run.
        out: Folder of the runs.
        leaderboards: Folder that gets the records.
        force: Whether to repeat finished runs.
        tracking: wandb mode.
        save: Whether the fitted models are kept, in the runs' folders.
        artifacts: Whether wandb keeps the predictions, and the model where it is saved.
        label: The row's name, where it is not the model's: that of a shipped config, or one given in Python.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str
    arguments: dict[str, JsonValue]
    variant: dict[str, JsonValue]
    data: str
    split: str | None = None
    split_file: Path | None = None
    seeds: tuple[Seeds, ...] = ((1, 1, 1),)
    folds: tuple[Literal[0, 1], ...] = (0,)
    out: Path
    leaderboards: Path
    force: bool = False
    tracking: Tracking = "off"
    label: str | None = None
    save: bool = False
    artifacts: bool = False

    @property
    def name(self) -> str:
        """The row's name: the label, or the model's (of an import path, the class')."""
        return self.label or model_choice.row_name(self.model)


class ProfilesConfig(BaseModel):
    """Profiles of wells that make one row by one seed, and how they are judged. As JSON and back it is the same.

    Attributes:
        data: Name, card, or table of wells.
        given: Flags of the verb by name, where they differ from its defaults: what is read and asked, how it is judged.
        encoder: What makes the profiles, with one seed; ``None`` = they are the features, or the embedding, themselves.
        row: The row's name, where there is no encoder; empty = what the profiles are.
        source: Hash of the embedding that stands for the features, where the data were read already.
        out: Folder of the runs.
        leaderboards: Folder that gets the records.
        force: Whether what is finished is repeated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    given: dict[str, JsonValue] = {}
    encoder: RunConfig | None = None
    row: str = ""
    source: str = ""
    out: Path
    leaderboards: Path
    force: bool = False

    @property
    def name(self) -> str:
        """The row's name."""
        return self.encoder.name if self.encoder else self.row or str(self.given.get("features", "profile"))

    @property
    def model(self) -> str:
        """What has to be imported; empty without an encoder."""
        return self.encoder.model if self.encoder else ""

    @property
    def split(self) -> None:
        """None is chosen: wells are asked what their groups allow."""
        return

    @property
    def seeds(self) -> tuple[Seeds, ...]:
        """One; of the pretraining, as nothing is drawn otherwise."""
        return self.encoder.seeds if self.encoder else ((1, 1, 1),)

    @property
    def folds(self) -> tuple[Literal[0, 1], ...]:
        """Controls of wells are in no folds."""
        return (0,)


class LatentsConfig(BaseModel):
    """Latents that are compared with the true ones of one screen. As JSON and back it is the same.

    Attributes:
        data: Screen, without its seed: ``g1``, ``g3:rho=0.5``.
        row: Who makes the latents, as ``bench identify --model`` names it.
        data_seed: Of the screen.
        seed: Of the training.
        effort: What it may spend, where it is trained.
        out: Folder of the runs.
        leaderboards: Folder that gets the records.
        force: Whether what is finished is repeated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    row: str
    data_seed: int = 1
    seed: int = 1
    effort: Effort = Effort()
    out: Path
    leaderboards: Path
    force: bool = False

    @property
    def name(self) -> str:
        """The row's, without its arguments."""
        return self.row.partition(":")[0]

    @property
    def model(self) -> str:
        """What has to be imported: rows find their own."""
        return ""

    @property
    def split(self) -> str:
        """Cells are held out, of conditions that are known."""
        return SPLIT

    @property
    def seeds(self) -> tuple[Seeds, ...]:
        """One."""
        return ((self.data_seed, self.seed, self.seed),)

    @property
    def folds(self) -> tuple[Literal[0, 1], ...]:
        """Nothing is predicted from controls."""
        return (0,)


#: What is run, for a track of any kind.
AnyConfig: TypeAlias = RunConfig | ProfilesConfig | LatentsConfig


def make_config(choice: ModelChoice, given: Mapping[str, Any], **fields: Any) -> RunConfig:
    """Resolve a model's arguments and put them together with where and on what it is run.

    Args:
        choice: The model.
        given: Its arguments by name; the others are its config's or its own.
        **fields: The other fields of :class:`RunConfig`.

    Raises:
        BenchError: An argument that the model does not have or refuses by its type, or a value that no record can hold.
    """
    if choice.instance is None:
        # The row of a shipped config has its name, which stands for its arguments; a file of one's own has no such row.
        base = resolve_arguments(choice if choice.config else replace(choice, init_args={}), {})
        arguments = resolve_arguments(choice, given)
        by_name = choice.model_class.named_by
        variant = {name: value for name, value in arguments.items() if value != base[name] and name not in by_name}
    else:
        arguments, variant = instance_arguments(choice.instance), {}
    label = fields.get("label") or choice.config or _named_by_file(choice, arguments)
    if label != choice.config or choice.model not in registry.entries():
        check_row_name(label or model_choice.row_name(choice.model))
    try:
        return RunConfig(
            **{**fields, "model": choice.model, "arguments": arguments, "variant": variant, "label": label}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BenchError(
            f"model '{choice.model}', {where}: {first['msg']}; it is {str(first['input'])[:80]}."
        ) from error


def _named_by_file(choice: ModelChoice, arguments: Mapping[str, Any]) -> str | None:
    """The row's name that a file gives it, where the model is one that a file stands for."""
    file = next((arguments.get(name) for name in choice.model_class.named_by), None)
    return Path(file).stem if file else None


def check_row_name(name: str) -> None:
    """Refuse a name that is none of a row, or that a row of somebody else's model has.

    Raises:
        BenchError: Naming it.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", name):
        raise BenchError(f"row name {name!r}: expected letters, digits and . _ + - (up to 64); choose one by --name.")
    if name in {*registry.entries(), REPLICATE}:
        raise BenchError(f"row name '{name}' is that of a registered model; choose another by --name.")


def task_fields(task: Task) -> dict[str, Any]:
    """The fields of a spec that say which task it is."""
    return {
        "dataset": task.dataset.name,
        "data_hash": task.dataset.hash,
        "split": task.split.name,
        "split_seed": task.split.seed,
        "control_fold": task.split.control_fold,
        "split_id": task.split.split_id,
    }


def make_model(config: RunConfig, instance: PerturbationModel | None = None) -> Any:
    """Make the model that is asked for.

    Args:
        config: Names it and its arguments.
        instance: An object to take a copy of instead.

    Raises:
        BenchError: An argument that it refuses.
    """
    if instance is not None:
        return copy.deepcopy(instance)
    try:
        return load_class(config.model)(**config.arguments)
    except (TypeError, ValueError) as error:
        raise BenchError(f"model '{config.model}': {error}.") from error


def budget_of(report: FitReport, costs: Mapping[str, float] = MappingProxyType({})) -> Budget:
    """What a fit cost, by the model's own count and by the clock.

    Args:
        report: Filled by the fit.
        costs: Seconds and MiB, by the budget's names.
    """
    if "fit_s" in costs:
        costs = {**costs, "fit_s": costs["fit_s"] + report.earlier_s}
    return Budget(
        cells_seen=report.cells_seen,
        steps=report.steps,
        flops=report.flops,
        trials=report.trials,
        parameters=report.parameters,
        **costs,
    )


def spec_of(config: RunConfig, task: Task, pretrain_seed: int, head_seed: int) -> RunSpec:
    """Resolve what is to be run on a task: everything that decides its numbers."""
    outside = {} if config.model in registry.entries() else {"class_path": config.model}
    model = load_class(config.model)
    return RunSpec(
        **task_fields(task),
        model=config.name,
        model_version=model.version,
        arguments={**outside, **recorded(model, config.arguments)},
        variant=recorded(model, config.variant),
        pretrain_seed=pretrain_seed,
        head_seed=head_seed,
    )


def seed_triples(seeds: Sequence[int], split: Sequence[int] = (), **one: int | None) -> tuple[Seeds, ...]:
    """(split, pretrain, head) seeds of each run: ``seeds`` set all three, and each may be set by itself.

    Args:
        seeds: One for each run, or one for all.
        split: Split seeds, where they are others.
        **one: ``pretrain`` and ``head``: the seed of all runs, where it is another.

    Raises:
        BenchError: Several seeds and several split seeds.
    """
    if len(seeds) > 1 and split:
        raise BenchError("--seed with several seeds and --split-seed cannot be combined.")
    pairs = zip(split, list(seeds) * len(split), strict=True) if split else zip(seeds, seeds, strict=True)
    pretrain, head = one.get("pretrain"), one.get("head")
    return tuple((s, b if pretrain is None else pretrain, b if head is None else head) for s, b in pairs)
