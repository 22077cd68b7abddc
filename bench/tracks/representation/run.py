"""From an encoder to its record and those of the references beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.core.console import note
from bench.core.errors import BenchError
from bench.data.task import Task
from bench.results.spec import RunSpec
from bench.tracks.representation import heldout, protocol, references
from bench.tracks.representation import record as frozen_record
from bench.tracks.representation.embedding import Embedder
from bench.tracks.representation.heldout import HeldOut
from bench.tracks.representation.metrics import VERSION
from bench.tracks.representation.record import FrozenRecord


def run_encoder(
    task: Task,
    embed: Embedder,
    spec: RunSpec,
    out: Path,
    leaderboards: Path,
    force: bool = False,
) -> Path:
    """Evaluate an encoder, write its record and that of every reference; what is finished is not repeated.

    Args:
        task: The task.
        embed: The encoder.
        spec: What was trained.
        out: Folder of the runs; the record goes to ``<out>/<run_id>/frozen.json``.
        leaderboards: Folder that gets a copy of it.
        force: Whether to repeat a finished one.

    Returns:
        The path of the encoder's record under ``leaderboards``.

    Raises:
        BenchError: A spec of another task, a name that is a reference's, or any of
            :func:`bench.tracks.representation.protocol.evaluate`.
    """
    label = spec.label
    if label in references.NAMES or spec.model in references.NAMES:
        raise BenchError(f"'{label}' is the name of a reference row; rename the model.")
    if (spec.data_hash, spec.split_id) != (task.dataset.hash, task.split.split_id):
        raise BenchError(f"{label}: its spec is of another data set or split than the cells it is evaluated on.")
    cells = heldout.draw(task, spec.split_seed)
    evaluation = _Evaluation(cells, out, leaderboards, force)
    path = evaluation.finish(label, "model", spec, lambda: embed)
    seed = spec.split_seed
    makers: dict[str, Callable[[], Embedder]] = {
        references.PCA: lambda: references.pca(task, seed),
        references.RANDOM: lambda: references.random_projection(len(task.dataset.genes), seed),
        references.SHUFFLED: lambda: references.pca(task, seed),
    }
    for name, make in makers.items():  # fitted only where a record is missing
        evaluation.finish(name, "reference", reference_spec(spec, name), make)
    return path


@dataclass(frozen=True)
class _Evaluation:
    cells: HeldOut
    out: Path
    leaderboards: Path
    force: bool

    def finish(
        self, label: str, kind: Literal["model", "reference"], spec: RunSpec, make: Callable[[], Embedder]
    ) -> Path:
        """Evaluate where there is no finished record; return the record's place under the leaderboards."""
        path, target = self.out / spec.run_id / frozen_record.FILE, frozen_record.place(self.leaderboards, spec)
        record = None if self.force else _finished(path)
        if record is None:
            begin = time.perf_counter()
            shuffle = label == references.SHUFFLED
            scores = protocol.evaluate(self.cells.task, make(), spec.split_seed, self.cells, shuffle)
            record = frozen_record.make(self.cells.task.dataset, spec, label, kind, scores, time.perf_counter() - begin)
            frozen_record.write(path, record)
        frozen_record.write(target, record)
        return target


def reference_spec(spec: RunSpec, name: str) -> RunSpec:
    """The spec of a reference on the task of another spec: the same for every encoder of that task."""
    return spec.model_copy(
        update={
            "model": name,
            "model_version": 1,
            "arguments": {"width": references.WIDTH},
            "variant": {},
            "pretrain_seed": spec.split_seed,
            "head_seed": spec.split_seed,
        }
    )


def finished(spec: RunSpec, out: Path, leaderboards: Path) -> Path | None:
    """Look for the records of an encoder and of its references; copy them under ``leaderboards`` if all are there.

    Returns:
        The path of the encoder's record there, or ``None``.
    """
    specs = [spec, *(reference_spec(spec, name) for name in references.NAMES)]
    found = [_finished(out / each.run_id / frozen_record.FILE) for each in specs]
    for each, record in zip(specs, found, strict=True):
        if record is None:
            return None
        frozen_record.write(frozen_record.place(leaderboards, each), record)
    return frozen_record.place(leaderboards, spec)


def _finished(path: Path) -> FrozenRecord | None:
    if not path.is_file():
        return None
    try:
        record = frozen_record.read(path)
    except BenchError as error:
        note(f"{error} Running it again.")
        return None
    return record if record.protocol_version == VERSION else None
