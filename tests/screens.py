"""Small generated screens for tests, simpler than the built-in data set: every number can be followed by hand."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.conditions import CONTROL, single
from bench.data.controls import control_pools
from bench.data.dataset import Dataset, build
from bench.data.splits.split import Split, subgroup
from bench.data.values import normalise

N_GENES = 60
GENES = np.array([f"G{i:02d}" for i in range(N_GENES)])
SINGLES = [f"G{i:02d}" for i in range(12)]
DOUBLES = [(0, 1), (2, 1), (2, 3), (4, 3), (4, 5), (6, 5), (6, 7), (8, 7), (8, 9), (10, 11)]


def tiny_counts(
    seed: int = 0, cells: int = 30, controls: int = 120, effect: float = 1.0, contexts: int = 1
) -> tuple[sp.csr_matrix, pd.DataFrame]:
    """Poisson counts with additive effects on log rates; obs has condition, context and batch."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.2, 3.0, N_GENES)
    shift = {gene: effect * rng.normal(0, 0.8, N_GENES) * (rng.random(N_GENES) < 0.3) for gene in SINGLES}
    names = [CONTROL, *map(single, SINGLES), *(f"{SINGLES[a]}+{SINGLES[b]}" for a, b in DOUBLES)]
    rows, obs = [], []
    for context in range(contexts):
        for name in names:
            n = controls if name == CONTROL else cells
            rate = base * np.exp(sum((shift[g] for g in name.split("+") if g != CONTROL), np.zeros(N_GENES)))
            rows.append(rng.poisson(rate * rng.uniform(0.7, 1.3, (n, 1)) * (1 + 0.3 * context)))
            obs.append(
                pd.DataFrame({"condition": name, "context": f"line{context}", "batch": rng.choice(["b0", "b1"], n)})
            )
    frame = pd.concat(obs, ignore_index=True)
    frame.index = pd.Index([f"cell{i:05d}" for i in range(len(frame))])
    return sp.csr_matrix(np.vstack(rows).astype(np.int64)), frame


def screen(counts: sp.csr_matrix, obs: pd.DataFrame, name: str = "tiny") -> Dataset:
    """Build a data set from counts."""
    return build(
        name,
        normalise(counts),
        genes=GENES[: counts.shape[1]],
        barcodes=obs.index.to_numpy(dtype=str),
        condition=obs["condition"].to_numpy(dtype=str),
        context=obs["context"].to_numpy(dtype=str),
        batch=obs["batch"].to_numpy(dtype=str),
        source=name,
    )


def from_cells(name: str, blocks: list[np.ndarray], labels: list[tuple[str, str]]) -> Dataset:
    """Build a data set of one batch from expression, block by block, and the (condition, context) of each cell."""
    x = np.vstack(blocks).astype(np.float32)
    return build(
        name,
        sp.csr_matrix(x),
        genes=np.array([f"G{i:02d}" for i in range(x.shape[1])]),
        barcodes=np.array([f"c{i:04d}" for i in range(len(x))]),
        condition=np.array([condition for condition, _ in labels]),
        context=np.array([context for _, context in labels]),
        batch=np.full(len(x), "b"),
        source=name,
    )


def tiny_screen(**options: float) -> Dataset:
    """The tiny screen."""
    return screen(*tiny_counts(**options))  # type: ignore[arg-type]


def hand_split(dataset: Dataset, seed: int = 1, fold: int = 0) -> Split:
    """Six singles and three doubles to learn from, two val, eleven test; all four subgroups are there."""
    train = [single(g) for g in SINGLES[:7]] + ["G00+G01", "G02+G01", "G04+G05"]
    val = [single(SINGLES[7]), "G06+G05"]
    test = [n for n in dataset.conditions if n not in {*train, *val, CONTROL}]
    inputs, reference, cells, notes = control_pools(dataset, seed, fold)
    groups: dict[str, list[str]] = {}
    for name in test:
        groups.setdefault(subgroup(name, train), []).append(name)
    return Split(
        kind="custom",
        seed=seed,
        control_fold=fold,
        train=tuple(train),
        val=tuple(val),
        test=tuple(test),
        unused=(),
        subgroups={k: tuple(v) for k, v in sorted(groups.items())},
        input_controls=inputs,
        reference_controls=reference,
        input_cells=cells,
        notes=tuple(notes),
    )


def write_h5ad(path: Path, x: object, obs: pd.DataFrame, genes: object = GENES, **extra: object) -> Path:
    """Write an AnnData file as a user's tool would."""
    anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=pd.Index(np.asarray(genes))), **extra).write_h5ad(path)
    return path


def dense(dataset: Dataset, rows: object) -> np.ndarray:
    """Expression of some cells as float64 ``[cells, genes]``."""
    return dataset.x[rows].toarray().astype(np.float64)


def rows_of(dataset: Dataset, barcodes: object) -> list[int]:
    """Rows of the cells of some barcodes."""
    return [dataset.barcode_index[b] for b in barcodes]


#: Simple molecules: a functional group on a ring, both as SMILES.
GROUPS = {
    "hydroxy": "O",
    "carboxy": "OC(=O)",
    "amino": "N",
    "carbamoyl": "NC(=O)",
    "chloro": "Cl",
    "cyano": "N#C",
    "sulfamoyl": "NS(=O)(=O)",
}
RINGS = {
    "benzene": "c1ccccc1",
    "cyclohexane": "C1CCCCC1",
    "pyridine": "c1ccncc1",
    "naphthalene": "c1ccc2ccccc2c1",
    "thiophene": "c1cccs1",
}
DOSES = (0.1, 1.0, 10.0)


def chemical_counts(
    doses: tuple[float, ...] = DOSES, cells: int = 16, controls: int = 100, seed: int = 0
) -> tuple[sp.csr_matrix, pd.DataFrame]:
    """Poisson counts of 35 compounds at some doses, and vehicles, in two lines.

    On log rates a compound acts by its ring and by its group, in full at high doses: by Hill's curve of exponent 1 with
    half of the effect at 1 uM. obs has compound, dose_uM (vehicles have none), SMILES, cell_line.
    """
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.5, 3.0, N_GENES)
    act = {part: 1.2 * rng.normal(size=N_GENES) * (rng.random(N_GENES) < 0.3) for part in (*GROUPS, *RINGS)}
    wanted = [("DMSO", np.nan, "", np.zeros(N_GENES), controls)]
    for group, head in GROUPS.items():
        for ring, tail in RINGS.items():
            effect = act[group] + act[ring]
            wanted += [(f"{group}-{ring}", dose, head + tail, effect * dose / (dose + 1.0), cells) for dose in doses]
    rows, obs = [], []
    for line in range(2):
        of_line = base * np.exp(rng.normal(0, 0.4, N_GENES))
        for name, dose, smiles, effect, n in wanted:
            rows.append(rng.poisson(of_line * np.exp(effect) * rng.uniform(0.7, 1.3, (n, 1))))
            about = {"compound": name, "dose_uM": dose, "SMILES": smiles, "cell_line": f"line{line}"}
            obs.append(pd.DataFrame(about, index=range(n)))
    frame = pd.concat(obs, ignore_index=True)
    frame.index = pd.Index([f"cell{i:05d}" for i in range(len(frame))])
    return sp.csr_matrix(np.vstack(rows).astype(np.float32)), frame


def chemical_file(folder: Path, **options: object) -> Path:
    """The file of a chemical screen, ``chemical.h5ad``, as a user would bring it: without a card."""
    counts, obs = chemical_counts(**options)  # type: ignore[arg-type]
    return write_h5ad(folder / "chemical.h5ad", counts, obs)


def without(data, rows):
    """The same screen without some cells."""
    fields = {name: getattr(data, name) for name in data.__dataclass_fields__}
    keep = np.setdiff1d(np.arange(len(data.condition)), rows)
    return type(data)(
        **fields | {name: fields[name][keep] for name in ("x", "barcodes", "condition", "context", "batch")}
    )


def rebuilt(data, x):
    """The same cells with other expression."""
    return build(
        data.name,
        sp.csr_matrix(x),
        genes=data.genes,
        barcodes=data.barcodes,
        condition=np.array(data.conditions)[data.condition],
        context=np.array(data.contexts)[data.context],
        batch=np.array(data.batches)[data.batch],
        source=data.name,
        card=data.card,
    )
