"""What a run, or the scoring of predictions, gives back in Python."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.console import seed_text
from bench.core.errors import BenchError
from bench.data.features.bank import shorten
from bench.results import records
from bench.results.levels import Level, levels
from bench.results.records import Record
from bench.results.tables import ALL, to_long
from bench.runner.saved import Fitted, copy_saved, is_saved
from bench.tracks import registry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Result:
    """The records of one or several runs of one model, with what they were made from.

    Attributes:
        records: A record for each run: spec, costs, hashes, warnings.
        leaderboards: Folder that holds the records; a temporary one where nothing was to be kept.
        out: Folder of the runs, likewise.
        paths: The records' places in the folders of the runs.
    """

    records: tuple[Record, ...]
    leaderboards: Path
    out: Path
    paths: tuple[Path, ...]
    _temporary: Folders | None = None
    _fitted: Mapping[str, Fitted] = field(default_factory=dict)

    def __repr__(self) -> str:
        specs = [record.spec for record in self.records]
        names = shorten(list(dict.fromkeys(spec.label for spec in specs)), 3)
        tasks = shorten(list(dict.fromkeys(f"{spec.dataset}, split {spec.split}" for spec in specs)), 2)
        runs = f"run {specs[0].run_id}" if len(specs) == 1 else f"{len(specs)} runs"
        return f"<Result {names} on {tasks}, {seed_text([spec.split_seed for spec in specs])}: {runs}>"

    @property
    def record(self) -> Record:
        """The record; of several runs the last one's."""
        return self.records[-1]

    @cached_property
    def metrics(self) -> dict[str, Level]:
        """Every metric of the record over its units: mean, interval, floor, replicate and skill."""
        track = registry.get(self.record.track)
        values = records.read_table(track, self.paths[-1], self.record)
        assert values is not None  # a run has values by unit
        return levels(track, values, self.record.honest)[ALL]

    @property
    def path(self) -> Path | None:
        """Where the record lies; ``None`` where it was not to be kept."""
        return None if self._temporary and self._temporary.leaderboards_too else self.paths[-1]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per run, unit, metric and scope.

        Columns: ``seed`` and ``control_fold`` of the split, ``condition``, ``context``, ``subgroup``, ``metric``,
        ``scope``,
        ``value`` (undefined = NaN), ``floor``, and the same on halves of a condition's cells (``half_value``,
        ``half_floor``, ``half_replicate``).
        """
        import pandas as pd

        parts = []
        for record, path in zip(self.records, self.paths, strict=True):
            values = records.read_table(registry.get(record.track), path, record)
            assert values is not None  # a run has values by unit
            part = to_long(values)
            part.insert(0, "control_fold", record.spec.control_fold)
            part.insert(0, "seed", record.spec.split_seed)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def predictions(self) -> Any:
        """The predicted expression as AnnData: a row for each cell or condition, ``obs.condition``, log1p values.

        Of several runs ``obs`` has the split's ``seed`` and ``control_fold``.
        """
        import anndata

        parts = [anndata.read_h5ad(self.out / record.run_id / "predictions.h5ad") for record in self.records]
        if len(parts) == 1:
            return parts[0]
        for part, record in zip(parts, self.records, strict=True):
            part.obs = part.obs.assign(seed=record.spec.split_seed, control_fold=record.spec.control_fold)
        return anndata.concat(parts, index_unique="-")

    def genes(self, top: int | None = 20, data: Any = None) -> pd.DataFrame:
        """Predicted and observed shifts of the genes that move most surely in each test condition.

        Args:
            top: Genes of each condition, by their Wilcoxon z; None = all that are scored.
            data: The cells, where they are neither in memory nor a shipped data set.

        Returns:
            Columns ``condition``, ``context``, ``gene``, ``predicted``, ``observed``, ``z``, ``de``, ``sign_right``; of
            several runs also the split's ``seed`` and ``control_fold``.
        """
        import pandas as pd

        from bench.runner.genes import genes_of, task_of_run

        parts = []
        for record in self.records:
            folder, fitted = self.out / record.run_id, self._fitted.get(record.run_id)
            task = fitted.task if fitted is not None else task_of_run(folder, record, data)
            part = genes_of(registry.get(record.track), folder, task, top)
            parts.append(part.assign(seed=record.spec.split_seed, control_fold=record.spec.control_fold))
        table = pd.concat(parts, ignore_index=True)
        return table.drop(columns=["seed", "control_fold"]) if len(parts) == 1 else table

    def save(self, folder: str | Path) -> Path:
        """Keep the fitted model: :func:`bench.load_model` reads it, and it predicts for cells of other files.

        Args:
            folder: Gets ``model.json`` and ``weights.safetensors``.

        Returns:
            The folder.

        Raises:
            BenchError: A model that cannot be saved, one that was not fitted by this call, or several.
        """
        if len(self.records) > 1:
            raise BenchError(f"{len(self.records)} runs: save one at a time, or run with --save, which keeps each.")
        fitted, kept = self._fitted.get(self.record.run_id), self.out / self.record.run_id / "model"
        if fitted is not None:
            return fitted.save(Path(folder))
        if not is_saved(kept):
            raise BenchError(
                f"run {self.record.run_id} was finished before, and its model was not kept: run it again with "
                f"force=True, or on the command line with --save."
            )
        return copy_saved(kept, Path(folder))

    def board(
        self, models: str | Sequence[str] | None = None, scope: str = "all", published: bool = True
    ) -> pd.DataFrame:
        """This row among the published ones of the same task, over the seeds that this one has.

        Args:
            models: Rows to show; absent = this one and all that are no variants.
            scope: ``all``, a subgroup or a tertile of effect strength.
            published: Whether published rows are shown.
        """
        from bench.runner.boards import board

        return board(self, scope=scope, models=models, published=published)


@dataclass(frozen=True)
class Folders:
    """Where a run is written: the folders asked for, and a temporary one, removed with the result, for the others."""

    out: Path
    leaderboards: Path
    leaderboards_too: bool
    holder: Any

    @classmethod
    def of(cls, out: str | Path | None, leaderboards: str | Path | None) -> Folders:
        """Choose folders.

        Args:
            out: Folder of the runs; ``None`` = a temporary one.
            leaderboards: Folder of the records; ``None`` = ``leaderboards`` in the folder of the runs.
        """
        holder = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) if out is None else None
        runs = Path(holder.name) / "runs" if holder else Path(out or "")
        boards = Path(leaderboards) if leaderboards is not None else runs / "leaderboards"
        return cls(runs, boards, holder is not None and leaderboards is None, holder)

    def result(self, paths: Sequence[Path], fitted: Mapping[str, Fitted] | None = None) -> Result:
        """What was written, read back, with the models that were fitted."""
        found = tuple(records.read(path) for path in paths)
        return Result(found, self.leaderboards, self.out, tuple(paths), self, fitted or {})
