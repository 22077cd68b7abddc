"""What is to be run: a request, the task that it names, and the spec that it resolves to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import sha256_json
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.models import registry
from bench.results.spec import RunSpec
from bench.runner.tracking import Tracking


@dataclass(frozen=True)
class RunConfig:
    """What ``bench run`` was asked for.

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
        config: Name of the shipped config that the arguments start from, if any.
    """

    model: str
    arguments: Mapping[str, Any]
    variant: Mapping[str, Any]
    data: str
    split: str | None
    split_file: Path | None
    seeds: Sequence[tuple[int, int, int]]
    folds: Sequence[int]
    out: Path
    leaderboards: Path
    force: bool
    tracking: Tracking
    config: str | None = None

    @property
    def name(self) -> str:
        """The row's name: the shipped config's, or the model's."""
        return self.config or registry.row_name(self.model)


def split_name(split: Split) -> str:
    """A split's name on boards: its kind; custom ones carry a hash of their lists, as each is a task of its own."""
    if split.kind != "custom":
        return split.kind
    lists = {part: getattr(split, part) for part in ("train", "val", "test")}
    return f"custom-{sha256_json(lists)[:8]}"


def task_fields(task: Task) -> dict[str, Any]:
    """The fields of a spec that say which task it is."""
    return {
        "dataset": task.dataset.name,
        "data_hash": task.dataset.hash,
        "split": split_name(task.split),
        "split_seed": task.split.seed,
        "control_fold": task.split.control_fold,
        "split_id": task.split.split_id,
    }


def make_model(request: RunConfig) -> Any:
    """Make the model that is asked for.

    Raises:
        BenchError: An argument that it refuses.
    """
    try:
        return registry.load(request.model)(**request.arguments)
    except (TypeError, ValueError) as error:
        raise BenchError(f"model '{request.model}': {error}.") from error


def spec_of(request: RunConfig, task: Task, pretrain_seed: int, head_seed: int) -> RunSpec:
    """Resolve what is to be run on a task: everything that decides its numbers."""
    return RunSpec(
        **task_fields(task),
        model=request.name,
        model_version=registry.load(request.model).version,
        arguments=dict(request.arguments),
        variant=dict(request.variant),
        pretrain_seed=pretrain_seed,
        head_seed=head_seed,
    )
