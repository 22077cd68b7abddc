"""A saved model at home: it predicts perturbations for the control cells of another file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, constituents, from_written, identity, spellings, written
from bench.core.errors import BenchError, unknown
from bench.core.files import safe_name
from bench.core.h5ad import write_h5ad
from bench.core.text import counted
from bench.data.aligned import on_genes
from bench.data.controls import MAX_INPUT_CELLS
from bench.data.dataset import Dataset
from bench.data.features.bank import shorten
from bench.data.task import load_cells
from bench.models import registry
from bench.runner.saved import Description, is_registered, is_saved, read

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.models.base import PerturbationModel
    from bench.models.kept import Kept

#: Genes that a table of predictions names.
TOP = 5


@dataclass(frozen=True, repr=False)
class SavedModel:
    """A fitted model that was read from a folder.

    Attributes:
        described: What it is, what it was fitted on, and its genes.
        kept: Its weights and tables.
        source: Its folder, for messages.
    """

    described: Description
    kept: Kept
    source: str

    def __repr__(self) -> str:
        of = self.described
        return f"<SavedModel {of.model} of {of.run['dataset']}: {counted(len(of.genes), 'gene')}, {self.source}>"

    def predict(
        self, cells: Any, conditions: str | Sequence[str], *, means: bool = False, max_cells: int = MAX_INPUT_CELLS
    ) -> AnnData:
        """Predict what perturbations would make of control cells.

        Args:
            cells: A file, a card, a shipped name or an AnnData, as for :func:`bench.load_task`; only its control cells
                are used, and it may hold no others.
            conditions: Perturbations (``KLF1``, ``KLF1+ctrl``) and combinations (``SET+KLF1``); text is cut at commas.
            means: Whether there is one row per condition and context, and not one per control cell.
            max_cells: Control cells of a context at most; of more, that many are drawn.

        Returns:
            AnnData of predicted expression, log1p; ``obs``: ``condition``, ``context``, ``fallbacks`` and, of cells,
            ``control`` (the barcode of the cell that it was predicted from); ``varm["controls"]``: mean of the control
            cells by context, from which shifts are counted.

        Raises:
            BenchError: Missing genes, no control cells, or conditions of which the model knows nothing.
        """
        if max_cells < 1:
            raise BenchError(f"{max_cells} control cells: at least 1 is needed.")
        names = self.names(conditions)
        dataset = load_cells(cells)
        x = on_genes(dataset, self.described.genes, self.described.normalised_to)
        chosen = controls_by_context(dataset, max_cells)
        model = self.restored(names, tuple(chosen))
        blocks, rows = [], []
        dense = {context: x[of].toarray() for context, of in chosen.items()}
        for i, name in enumerate(names):
            for j, (context, of) in enumerate(chosen.items()):
                block = _predicted(model, dense[context], i, j)
                if not np.isfinite(block).all():
                    raise BenchError(f"{self.source}: the model predicts NaN or infinity for {written(name)}.")
                blocks.append(block.mean(axis=0, keepdims=True) if means else block.astype(np.float32))
                about = {"condition": written(name), "context": context, "fallbacks": model.fallbacks(name)}
                barcodes = [None] if means else dataset.barcodes[of].tolist()
                rows += [about if means else {**about, "control": barcode} for barcode in barcodes]
        return self._table(np.concatenate(blocks), rows, dense, dataset)

    def names(self, conditions: str | Sequence[str]) -> tuple[str, ...]:
        """Read conditions as people write them; one that was met in training is spelt as it was there.

        Raises:
            BenchError: None, or the control.
        """
        words = conditions.split(",") if isinstance(conditions, str) else conditions
        inner, met = spellings(self.described.conditions), {identity(name): name for name in self.described.conditions}
        found = []
        for word in filter(None, (word.strip() for word in words)):
            name = from_written(word, inner)
            if name == CONTROL:
                raise BenchError(f"condition '{word}': the control itself; ask for perturbations, such as KLF1.")
            found.append(met.get(identity(name), name))
        if not found:
            raise BenchError("no conditions: name what is to be predicted, such as KLF1,SET,SET+KLF1.")
        return tuple(dict.fromkeys(found))

    def restored(self, conditions: tuple[str, ...], contexts: tuple[str, ...]) -> PerturbationModel:
        """The model, ready for these conditions.

        Raises:
            BenchError: It knows nothing of one, or what is in the folder is no such model.
        """
        from bench.models.kept import Asked

        named = self.described.model
        if not is_registered(named):  # a dotted path would be imported, which runs its module
            raise unknown("model", named, [*registry.entries(), *registry.plugins()])
        cls = registry.load(named)
        if cls.version != self.described.model_version:
            raise BenchError(
                f"{self.source}: '{self.described.model}' was saved at version {self.described.model_version}, and it "
                f"is at version {cls.version} here: it would predict otherwise. Fit it again."
            )
        try:
            model = cls(**self.described.arguments)
            model.restore(self.kept, Asked(self.described.genes, conditions, contexts))
        except BenchError as error:
            raise BenchError(f"{self.source}: {error}") from error
        except (TypeError, ValueError, KeyError, AssertionError) as error:
            raise BenchError(f"{self.source}: not a saved '{self.described.model}' ({error}).") from error
        return model.eval()

    def _table(
        self, x: NDArray[Any], rows: list[dict[str, Any]], dense: dict[str, NDArray[np.float32]], dataset: Dataset
    ) -> AnnData:
        import anndata

        obs = pd.DataFrame(rows, index=pd.Index([str(i) for i in range(len(rows))]))
        var = pd.DataFrame(index=pd.Index(list(self.described.genes)))
        controls = {context: block.mean(axis=0, dtype=np.float64) for context, block in dense.items()}
        uns = {
            "model": str(self.described.run["model"]),
            "run_id": str(self.described.run["run_id"]),
            "data_hash": dataset.hash,
            "controls_used": "all",
        }
        return anndata.AnnData(x, obs=obs, var=var, uns=uns, varm={"controls": pd.DataFrame(controls, index=var.index)})


def load_model(folder: str | Path, out: str | Path = "runs") -> SavedModel:
    """Read a model that ``bench run --save`` or ``result.save(folder)`` wrote.

    Args:
        folder: Its folder, that of a run, or the id of a run in ``out``.
        out: Folder of the runs.

    Raises:
        BenchError: There is none, or it is damaged, altered or of another layout.
    """
    path = Path(folder)
    places = [path, path / "model"]
    if not path.is_dir() and len(path.parts) == 1:
        places.append(Path(out) / safe_name("run", str(folder)) / "model")
    found = next((place for place in places if is_saved(place)), None)
    if found is None and not any(place.is_dir() for place in places):
        raise BenchError(
            f"no saved model '{folder}': neither a folder nor a run in {out} that was made with 'bench run --save'."
        )
    place = found or next(place for place in reversed(places) if place.is_dir())
    return SavedModel(*read(place), str(place))


def controls_by_context(dataset: Dataset, max_cells: int) -> dict[str, NDArray[np.int64]]:
    """Rows of the control cells by context, in the order of the file; contexts without any are left out."""
    controls, rng = dataset.cells_of[CONTROL], np.random.default_rng(0)
    found = {}
    for c, context in enumerate(dataset.contexts):
        rows = controls[dataset.context[controls] == c]
        if len(rows):
            found[context] = np.sort(rng.permutation(rows)[:max_cells]) if len(rows) > max_cells else np.sort(rows)
    return found


def _predicted(model: PerturbationModel, controls: NDArray[np.float32], condition: int, context: int) -> NDArray[Any]:
    import torch

    from bench.data.datamodule import InputBatch

    cells = torch.from_numpy(controls)
    batch = InputBatch(cells, torch.full((len(cells),), condition), torch.full((len(cells),), context))
    with torch.no_grad():
        block: NDArray[Any] = model.predict_step(batch).double().numpy()
    return block


def summary(predicted: AnnData) -> pd.DataFrame:
    """One row per condition and context: cells, length of the mean shift, and the genes that move most.

    Args:
        predicted: From :meth:`SavedModel.predict`.
    """
    genes, x = np.array(predicted.var_names), np.asarray(predicted.X)
    rows = []
    for (name, context), of in predicted.obs.groupby(
        ["condition", "context"], sort=False, observed=True
    ).indices.items():
        shift = x[of].mean(axis=0, dtype=np.float64) - predicted.varm["controls"][context].to_numpy()
        top = np.argsort(-np.abs(shift), kind="stable")[:TOP]
        moved = ", ".join(f"{genes[i]} {shift[i]:+.2f}" for i in top)
        rows.append(
            {
                "condition": name,
                "context": context,
                "cells": len(of),
                "shift": np.linalg.norm(shift),
                "top_genes": moved,
            }
        )
    return pd.DataFrame(rows)


def write(predicted: AnnData, path: Path) -> None:
    """Write predictions as an h5ad file, atomically and sealed."""
    write_h5ad(path, predicted, sealed=True)


def said_of(model: SavedModel, dataset_conditions: Sequence[str]) -> str:
    """Say which of these perturbations the model did not meet."""
    met = {gene for name in model.described.conditions for gene in constituents(name)}
    new = sorted({gene for name in dataset_conditions for gene in constituents(name)} - met)
    return f"not in the data that it was fitted on: {shorten([*map(written, new)], 5)}" if new else ""
