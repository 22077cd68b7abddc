"""Predictions that are handed in: opening them as their tool wrote them, and the task that they are for."""

from __future__ import annotations

import contextlib
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.conditions import CONTROL, identity
from bench.core.errors import BenchError
from bench.data.cards import Card, Columns
from bench.data.dataset import Dataset
from bench.data.gene_subset import on_genes
from bench.data.io.h5ad import open_h5ad
from bench.data.naming import Naming
from bench.data.splits.split import draw
from bench.data.task import Task, load_dataset, load_task
from bench.results.predictions import open_table

#: ``--split`` that asks for what the predictions hold.
PREDICTED = "predicted"
#: What cell-eval's ``prep`` puts into its archive, and bytes that it may unpack to.
_VCC, _MOST = "pred.h5ad.zst", 64 << 30


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Path]:
    """The h5ad file of predictions: the file itself, or what is in an archive of cell-eval's ``prep`` (``.vcc``).

    Raises:
        BenchError: No such file, no h5ad file, or an archive without predictions.
    """
    if not file.is_file():
        raise BenchError(f"no such file: {file}")
    if file.suffix != ".vcc":
        if file.suffix in (".h5ad", ".h5"):
            open_h5ad(file).close()  # says what is wrong with it, and refuses links to other files
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / f"{file.stem}.h5ad"
        _unpack(file, path)
        try:
            open_h5ad(path).close()
            yield path
        except BenchError as error:
            raise BenchError(str(error).replace(str(path), str(file))) from error


def _unpack(archive: Path, path: Path) -> None:
    import pyarrow as pa

    try:
        with tarfile.open(archive) as tape, path.open("wb") as out:
            packed = tape.extractfile(_VCC)
            if packed is None:
                raise KeyError(_VCC)
            with pa.CompressedInputStream(pa.PythonFile(packed), "zstd") as stream:
                left = _MOST
                while block := stream.read(1 << 20):
                    left -= len(block)
                    if left < 0:
                        raise BenchError(f"{archive}: it unpacks to more than {_MOST >> 30} GiB. Give its h5ad file.")
                    out.write(block)
    except (tarfile.TarError, KeyError, OSError, EOFError, pa.ArrowInvalid) as error:
        raise BenchError(
            f"{archive}: no archive of cell-eval's prep: expected a tar file with {_VCC} in it ({error}). Give the "
            f"h5ad file itself."
        ) from error


def source_of(data: Any, column: str | None, control: tuple[str, ...]) -> Any:
    """What is to be loaded: a real file without a card has its labels in the same column as its predictions.

    Args:
        data: A name, card, file, or object, as for :func:`bench.load_task`.
        column: obs column of the conditions.
        control: Labels of controls.
    """
    if not (column or control) or not str(data).endswith((".h5ad", ".h5")):
        return data
    path = Path(data).resolve()
    with open_h5ad(path) as handle:
        there = column is not None and column in handle["obs"]
    fields: dict[str, Any] = {"columns": Columns(condition=str(column))} if there else {}
    fields |= {"control": control} if control else {}
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("._-")[:64] or "data"
    return Card(name=name, source=str(path), folder=path.parent, **fields)


def task_of(
    file: Path, data: Any, naming: Naming, split: str | None, seed: int, fold: int, split_file: Path | None
) -> Task:
    """The task that predictions are for.

    Args:
        file: The predictions.
        data: As for :func:`bench.load_task`.
        naming: How the file names conditions.
        split: A kind of split; ``predicted`` = what the file predicts is test, and all other conditions are train.
        seed: Of the split, and of the halves of the controls.
        fold: Control fold.
        split_file: Of a custom split.

    Raises:
        BenchError: As :func:`bench.load_task`; a file that predicts every condition leaves none to measure a floor by.
    """
    if split != PREDICTED:
        return load_task(data, "custom" if split_file and split is None else split, seed, fold, split_file)
    dataset = load_dataset(data)
    asked = _predicted_units(file, dataset, replace(naming, card=dataset.card))
    units = dataset.units_of([name for name in dataset.conditions if name != CONTROL])
    lists = {part: [u for u in units if (u.identity in asked) == (part == "test")] for part in ("train", "test")}
    if not lists["train"]:
        raise BenchError(
            f"{file}: it predicts all {len(units)} conditions of '{dataset.name}', so that none is left to measure by "
            f"what a mean of the others would score. Give the whole screen by --data, or score a part of what is "
            f"predicted: --split simulation."
        )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "predicted.json"
        text = {part: [unit.text(dataset.contexts) for unit in of] for part, of in lists.items()}
        path.write_text(json.dumps(text), encoding="utf-8")
        return Task(dataset, draw(dataset, "custom", seed, fold, path))


def _predicted_units(file: Path, dataset: Dataset, naming: Naming) -> set[tuple[frozenset[str], str]]:
    """What a file predicts, as identities of units; without a column of contexts it predicts every one."""
    obs = open_table(file).obs
    _, names = naming.conditions(obs, [name for name in dataset.conditions if name != CONTROL], file)
    where = naming.contexts(obs, dataset.contexts) if len(dataset.contexts) > 1 else None
    if where is None:
        return {(identity(name), context) for name in names.unique() for context in dataset.contexts}
    return {(identity(name), context) for name, context in set(zip(names, where, strict=True))}


def on_its_genes(task: Task, file: Path, naming: Naming) -> Task:
    """The task on those of its genes that a file predicts: see :func:`bench.data.gene_subset.on_genes`."""
    genes = task.dataset.genes.tolist()
    return on_genes(task, naming.genes(open_table(file).var, genes, file))
