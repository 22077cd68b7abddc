"""Small plates of wells, and an experiment's folder laid out as CPJUMP1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from bench.data.profiles.simulate import ProfileParameters, simulate
from bench.data.profiles.wells import COMPOUND, Wells

#: Two plates of compounds and two of guides in one cell line.
SMALL = ProfileParameters(cells=1, plates=2, targets=8, compounds=24, guides=2, controls=8, features=40, programs=12)
SUFFIX = "_normalized_feature_select_negcon_batch.csv.gz"


def small(**changes: object) -> Wells:
    """Wells of a small screen."""
    return replace(simulate(replace(SMALL, **changes)).wells)


def frame_of(wells: Wells, plate: str) -> pd.DataFrame:
    """The table of one plate, as CPJUMP1 has it."""
    part = wells.take(np.flatnonzero(wells.plate == plate))
    compound = part.modality == COMPOUND
    meta = pd.DataFrame(
        {
            "Metadata_Plate": part.plate,
            "Metadata_Well": part.well,
            "Metadata_broad_sample": np.where(part.control & compound, None, part.perturbation),
            "Metadata_control_type": np.where(part.control, "negcon", ""),
            "Metadata_gene": ["|".join(t) if not c else "" for t, c in zip(part.targets, compound)],
            "Metadata_target_list": ["|".join(t) if c else "" for t, c in zip(part.targets, compound)],
        }
    )
    return pd.concat([meta, pd.DataFrame(part.x, columns=list(part.features))], axis=1)


def write_experiment(folder: Path, wells: Wells, left_out: Sequence[str] = ()) -> Path:
    """Write an experiment's folder and its card; return the card.

    Args:
        folder: Where.
        wells: What.
        left_out: Plates that get no file.
    """
    rows = []
    for plate in dict.fromkeys(wells.plate.tolist()):
        i = int(np.argmax(wells.plate == plate))
        hours = {"compound": {"short": 24, "long": 48}, "crispr": {"short": 96, "long": 144}}
        modality, time = str(wells.modality[i]), str(wells.time[i])
        rows.append(("B1", plate, modality, wells.cell[i], hours[modality][time], 100, "absent", "Parental"))
        if plate not in left_out:
            path = folder / "profiles" / "B1" / plate / f"{plate}{SUFFIX}"
            path.parent.mkdir(parents=True)
            frame_of(wells, plate).to_csv(path, index=False)
    columns = [
        "Batch",
        "Assay_Plate_Barcode",
        "Perturbation",
        "Cell_type",
        "Time",
        "Density",
        "Antibiotics",
        "Cell_line",
    ]
    # None of these is looked at: another batch, another density, antibiotics, compounds on Cas9 cells.
    rows += [
        ("B2", "other1", "compound", "line1", 48, 100, "absent", "Parental"),
        ("B1", "other2", "compound", "line1", 48, 80, "absent", "Parental"),
        ("B1", "other3", "crispr", "line1", 96, 100, "Puromycin", "Parental"),
        ("B1", "other4", "compound", "line1", 48, 100, "absent", "Cas9"),
    ]
    (folder / "benchmark").mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / "benchmark" / "experiment-metadata.tsv", sep="\t", index=False)
    card = folder.parent / f"{folder.name}.yaml"
    card.write_text(
        f"""source: {folder.name}
experiment: "**/experiment-metadata.tsv"
profiles: "**/{{batch}}/{{plate}}/{{plate}}{SUFFIX}"
keep: {{Batch: B1, Density: 100, Antibiotics: absent}}
drop: [{{Perturbation: compound, Cell_line: Cas9}}]
"""
    )
    return card


def write_embeddings(folder: Path, wells: Wells, width: int = 5) -> None:
    """Write ``<plate>.h5`` for every plate, wells in another order than in the profiles."""
    folder.mkdir(parents=True, exist_ok=True)
    for plate in np.unique(wells.plate).tolist():
        rows = np.flatnonzero(wells.plate == plate)[::-1]
        with h5py.File(folder / f"{plate}.h5", "w") as handle:
            handle["embeddings"] = wells.x[rows, None, :width]
            handle["well_position"] = [word.encode() for word in wells.well[rows].tolist()]
            handle["broad_sample"] = [word.encode() for word in wells.perturbation[rows].tolist()]


def joined(parts: Sequence[Wells]) -> Wells:
    """Wells of several screens, one below the other."""
    words = ("x", "plate", "well", "batch", "perturbation", "control", "modality", "cell", "time")
    together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in words}
    return replace(parts[0], **together, targets=tuple(of for part in parts for of in part.targets))
