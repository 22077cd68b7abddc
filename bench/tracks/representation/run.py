"""From an encoder to its record and those of the references beside it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data import heldout
from bench.data.heldout import HeldOut
from bench.data.task import Task
from bench.results import cell_latents, records, store
from bench.results.finished import finished as finished_record
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.results.trained import UNTRAINED, Trained
from bench.stats.embedding import Embedder
from bench.tracks.representation import protocol, references
from bench.tracks.representation import record as frozen_record
from bench.tracks.representation.pca_width import chosen_pca
from bench.tracks.representation.track import TRACK


def run_encoder(
    task: Task,
    embed: Embedder,
    spec: RunSpec,
    out: Path,
    leaderboards: Path,
    force: bool = False,
    inputs: Mapping[str, str] = MappingProxyType({}),
    trained: Trained = UNTRAINED,
) -> Path:
    """Evaluate an encoder, write its record and that of every reference; what is finished is not repeated.

    Args:
        task: The task.
        embed: The encoder.
        spec: What was trained.
        out: Folder of the runs; the record goes to ``<out>/<run_id>/frozen.json``, beside it the latents that a board
            may keep (:mod:`bench.results.cell_latents`).
        leaderboards: Folder that gets a copy of it.
        force: Whether to repeat a finished one.
        inputs: Hashes of what defines the encoder beside the spec: the file of a class from elsewhere.
        trained: What making it cost, and how its settings were chosen.

    Returns:
        The path of the encoder's record in its run's folder.

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
    path = evaluation.finish("model", spec, lambda: embed, inputs, trained)
    seed = spec.split_seed
    components = functools.cache(lambda: chosen_pca(task, cells, seed))
    makers: dict[str, Callable[[], Embedder]] = {
        references.PCA: components,
        references.RANDOM: lambda: references.random_projection(len(task.dataset.genes), seed),
        references.SHUFFLED: components,
    }
    apart = bool(heldout.held_out_contexts(task))
    for name, make in makers.items():  # fitted only where a record is missing
        evaluation.finish("reference", reference_spec(spec, name, apart), make)
    return path


@dataclass(frozen=True)
class _Evaluation:
    cells: HeldOut
    out: Path
    leaderboards: Path
    force: bool

    def finish(
        self,
        kind: Literal["model", "reference"],
        spec: RunSpec,
        make: Callable[[], Embedder],
        inputs: Mapping[str, str] = MappingProxyType({}),
        trained: Trained = UNTRAINED,
    ) -> Path:
        """Evaluate where there is no finished record; put it under the leaderboards and return its path."""
        path = self.out / spec.run_id / frozen_record.FILE
        record = None if self.force else finished_record(TRACK, path, spec, inputs)
        if record is None:
            begin = time.perf_counter()
            shuffle = spec.model == references.SHUFFLED
            embedded = protocol.embed_split(self.cells, make(), spec.split_seed)
            scores = protocol.score(embedded, spec.split_seed, shuffle)
            wall_s = time.perf_counter() - begin
            hashes = {**inputs, **_left(path.parent, kind, spec, embedded.looked_at)}
            record, table = frozen_record.make(self.cells.task.dataset, spec, kind, scores, wall_s, hashes, trained)
            records.write(path, record, table)
        _hand_in(path, record, self.leaderboards)
        return path


def _left(folder: Path, kind: str, spec: RunSpec, z: Floats) -> dict[str, str]:
    """Leave the latents that numbers were computed from in the run's folder, where a board may keep them: their hash.

    What an earlier run left there goes.
    """
    (folder / cell_latents.FILE).unlink(missing_ok=True)
    if cell_latents.closed(kind, spec.model) or cell_latents.too_large(*z.shape):
        return {}
    return {cell_latents.HASH: cell_latents.write(folder, z)}


def _hand_in(path: Path, record: Record, leaderboards: Path) -> None:
    store.add(leaderboards, TRACK, [(record, records.read_table(TRACK, path, record))])


def reference_spec(spec: RunSpec, name: str, apart: bool = False) -> RunSpec:
    """The spec of a reference on the task of another spec: the same for every encoder of that task.

    Args:
        spec: The other.
        name: The reference.
        apart: Whether contexts are held out: then validation contexts choose the width of principal components.
    """
    width = 0 if apart and name != references.RANDOM else references.WIDTH
    return spec.model_copy(
        update={
            "model": name,
            "model_version": 1,
            "arguments": {"width": width},
            "variant": {},
            "pretrain_seed": spec.split_seed,
            "head_seed": spec.split_seed,
        }
    )


def finished(spec: RunSpec, out: Path, leaderboards: Path, inputs: Mapping[str, str]) -> Path | None:
    """Look for the records of an encoder and of its references; put them under ``leaderboards`` if all are there.

    Args:
        spec: What is to be run.
        out: Folder of the runs.
        leaderboards: Folder that gets copies of the records.
        inputs: As for :func:`run_encoder`.

    Returns:
        The path of the encoder's record in its run's folder, or ``None``.
    """
    own = finished_record(TRACK, out / spec.run_id / frozen_record.FILE, spec, inputs)
    apart = own is not None and own.numbers.get("n_target_contexts") is not None
    specs = [spec, *(reference_spec(spec, name, apart) for name in references.NAMES)]
    paths = [out / each.run_id / frozen_record.FILE for each in specs]
    given = [inputs, *({} for _ in references.NAMES)]
    found = [finished_record(TRACK, *each) for each in zip(paths, specs, given, strict=True)]
    for path, record in zip(paths, found, strict=True):
        if record is None:
            return None
        _hand_in(path, record, leaderboards)
    return paths[0]
