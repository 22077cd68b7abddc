"""``bench genes``: the predictions of a run beside the truth, gene by gene, as a table and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.door.documents import read_json
from bench.core.errors import BenchError
from bench.core.files import safe_name, write_text
from bench.core.track import Track
from bench.data.dataset import Dataset
from bench.data.splits.split import Split
from bench.data.task import Task, load_dataset
from bench.results import records
from bench.results.generated import plain_csv
from bench.results.records import Record
from bench.runner.outside import record_path
from bench.runner.rescore import PREDICTIONS
from bench.tracks import registry

if TYPE_CHECKING:
    import pandas as pd


def task_of_run(folder: Path, record: Record, data: Any = None) -> Task:
    """The task of a run: its cells, and the split that lies in its folder.

    Args:
        folder: Of the run.
        record: Its record.
        data: The cells, as for :func:`bench.load_task`; None = the data set that the record names.

    Raises:
        BenchError: No such data or split, or others than the run was made with.
    """
    spec = record.spec
    try:
        dataset = load_dataset(spec.dataset if data is None else data)
    except BenchError as error:
        if data is not None:
            raise
        raise BenchError(f"{error} Name the file of run {record.run_id} by --data.") from error
    return Task(dataset, split_of_run(folder, record, dataset))


def split_of_run(folder: Path, record: Record, dataset: Dataset) -> Split:
    """The split that lies in the folder of a run.

    Raises:
        BenchError: There is none, or it or the cells are others than the run was made with.
    """
    spec = record.spec
    try:
        content = read_json(folder / "split.json", "a split")
        content.pop("split_id", None)
        split = Split.model_validate(content)
    except (BenchError, ValueError, AttributeError) as error:
        raise BenchError(f"{folder}: its split.json cannot be read. Run it again.") from error
    for what, found, wanted in (("data", dataset.hash, spec.data_hash), ("split", split.split_id, spec.split_id)):
        if found != wanted:
            raise BenchError(
                f"run {record.run_id} was made with other {what} ({wanted[:12]}, here {found[:12]}). Give its own file "
                f"by --data, or run it again."
            )
    return split


def genes_of(track: Track, folder: Path, task: Task, top: int | None = 20) -> pd.DataFrame:
    """The table of a run.

    Args:
        track: That its predictions were scored by.
        folder: Of the run.
        task: Its task.
        top: Genes of each condition; None = all.

    Raises:
        BenchError: A track that shows no genes.
    """
    evaluation = registry.evaluation(track)
    if not hasattr(evaluation, "by_gene"):
        raise BenchError(f"rows of bench {track.verb} are not shown gene by gene.")
    table: pd.DataFrame = evaluation.by_gene(folder / PREDICTIONS, task, top)
    return table


def _found(run_id: str, out: Path) -> tuple[Track, Path]:
    """The track whose record a run's folder holds beside predictions, and that folder.

    Raises:
        BenchError: No such run, or one without predictions of test conditions.
    """
    folder = out / safe_name("run", run_id)
    for track in registry.tracks():
        if track.takes == "predictions" and record_path(track, folder).is_file():
            return track, folder
    raise BenchError(f"no run '{run_id}' with predictions in {out}: bench genes takes the id that bench run printed.")


def write_genes(run_id: str, out: Path, data: Any = None, top: int = 20) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Write the table of a run into its folder.

    Args:
        run_id: Of a run of predictions.
        out: Folder of the runs.
        data: See :func:`task_of_run`.
        top: Genes of each condition.

    Returns:
        The table of all scored genes, that of each condition's first ``top``, and where the latter is: ``genes.csv``.
    """
    track, folder = _found(run_id, out)
    task = task_of_run(folder, records.read(record_path(track, folder)), data)
    table, whole = (genes_of(track, folder, task, most) for most in (top, None))
    path = folder / "genes.csv"
    write_text(path, plain_csv(table))
    return whole, table, path


def draw_genes(run_id: str, out: Path, table: pd.DataFrame) -> list[Path]:
    """Draw a run gene by gene into its folder; return the files.

    Args:
        run_id: Of the run.
        out: Folder of the runs.
        table: All scored genes of its conditions, from :func:`write_genes`.
    """
    from bench.reports.figures import genes as figures

    track, folder = _found(run_id, out)
    record = records.read(record_path(track, folder))
    spec = record.spec
    heading = f"{spec.label} | {spec.dataset} | {spec.split} | seed {spec.split_seed} | run {run_id}"
    return figures.draw(table, figures.Heading(heading, record.evidence == "smoke"), folder)
