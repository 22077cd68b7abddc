"""``bench genes``: the predictions of a run beside the truth, gene by gene, as a table and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.door.documents import read_json
from bench.core.errors import BenchError
from bench.core.files import safe_name, write_text
from bench.data.dataset import Dataset
from bench.data.splits.split import Split
from bench.data.task import Task, load_dataset
from bench.results import predictions, records
from bench.results.generated import plain_csv
from bench.results.records import Record
from bench.runner.outside import record_path
from bench.runner.rescore import PREDICTIONS
from bench.tracks.response.by_gene import by_gene
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth

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


def genes_of(folder: Path, task: Task, top: int | None = 20) -> pd.DataFrame:
    """The table of a run, see :func:`bench.tracks.response.by_gene.by_gene`.

    Args:
        folder: Of the run.
        task: Its task.
        top: Genes of each condition; None = all.
    """
    facts = truth.load(task)
    expected = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    return by_gene(facts, predictions.read(folder / PREDICTIONS, facts.units, facts.genes, expected).y_hat, top)


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
    folder = out / safe_name("run", run_id)
    if not record_path(TRACK, folder).is_file():
        raise BenchError(
            f"no run '{run_id}' with predictions in {out}: bench genes takes the id that bench run printed."
        )
    record = records.read(record_path(TRACK, folder))
    task = task_of_run(folder, record, data)
    table = genes_of(folder, task, top)
    whole = genes_of(folder, task, None)
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

    folder = out / safe_name("run", run_id)
    record = records.read(record_path(TRACK, folder))
    spec = record.spec
    heading = f"{spec.label} | {spec.dataset} | {spec.split} | seed {spec.split_seed} | run {run_id}"
    return figures.draw(table, figures.Heading(heading, record.evidence == "smoke"), folder)
