"""Figures of one board, from records alone: skill, model against floor, DE recall, effect size; PDF, SVG and PNG.

A figure is a file here with ``STEM``, ``table(data)`` (a pure function: what is drawn, as a frame, or an empty one)
and ``chart(data, table)``. altair is loaded when something is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.track import Track
from bench.reports.figures import de_recall, effect_size, scatter, skill
from bench.reports.figures.data import FigureData, figure_data
from bench.reports.figures.style import FORMATS, render, write

__all__ = ["FIGURES", "FigureData", "draw", "figure_data"]

FIGURES = {module.STEM: module for module in (skill, scatter, de_recall, effect_size)}


def draw(
    track: Track,
    folder_or_folders: Path | Sequence[Path],
    dataset: str,
    split: str | None,
    out: Path,
    models: Sequence[str] | None = None,
) -> list[Path]:
    """Draw every figure of one board; nothing is written before all of them are made.

    Args:
        track: The board's track.
        folder_or_folders: Leaderboards folders; of one run id the first folder's record wins.
        dataset: Data set name.
        split: Split name; ``None`` = the only one there is.
        out: Folder for ``<dataset>__<split>__<figure>.{pdf,svg,png}``.
        models: Rows wanted, by label or by model name; ``None`` = all.

    Returns:
        The files, by figure. A figure for which the records hold nothing is left out.

    Raises:
        BenchError: Unknown data set, split or model; damaged records; a folder that cannot be written.
    """
    folders = [folder_or_folders] if isinstance(folder_or_folders, Path) else list(folder_or_folders)
    found = figure_data(track, folders, dataset, split, models)
    made: dict[Path, bytes] = {}
    for stem, module in FIGURES.items():
        table = module.table(found)
        if not table.empty:
            pictures = render(module.chart(found, table))
            made.update({out / f"{found.dataset}__{found.split}__{stem}.{f}": pictures[f] for f in FORMATS})
    if not made:
        raise BenchError(f"the records of {found.dataset}__{found.split} hold none of the metrics that figures show.")
    for path, content in made.items():
        write(path, content)
    return list(made)
