"""The splits of GEARS, drawn by cell-gears' own splitter; the lists are kept, so that it is imported once."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.core.conditions import CONTROL, constituents
from bench.core.door.documents import read_json
from bench.core.errors import BenchError
from bench.core.files import cache_dir, sha256_json, write_json
from bench.data.dataset import Dataset
from bench.data.splits.kinds import PARTS, VERSION, Drawn, SplitKind


def draw_with_gears(labels: Sequence[str], kind: str, seed: int) -> dict[str, list[str]]:
    """Draw condition lists with cell-gears' own ``DataSplitter``.

    Args:
        labels: Condition strings of a file; sorted here, because some of its draws depend on row order.
        kind: Name of one of :data:`KINDS`.
        seed: Its ``seed``.

    Returns:
        ``train``, ``val``, ``test``: sorted, without duplicates (some of its draws are with replacement) and
        without the control.

    Raises:
        BenchError: If the data do not hold what the split needs.
    """
    import pandas as pd

    perturbed = sorted(set(labels) - {CONTROL})
    if kind.startswith("combo") and all(CONTROL in name for name in perturbed):
        raise BenchError(
            f"split '{kind}' needs combinations of two perturbations; these data have none. Use 'simulation'."
        )
    if kind == "simulation_single":  # its splitter asserts that there are no doubles
        perturbed = [name for name in perturbed if CONTROL in name]
    state = np.random.get_state()  # noqa: NPY002 - cell-gears draws from, and reseeds, numpy's global generator
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            from gears.data_utils import DataSplitter

            class Rows:
                obs = pd.DataFrame({"condition": [CONTROL, *perturbed]})

            if kind.startswith("combo"):
                splitter = DataSplitter(Rows(), split_type="combo", seen=int(kind[-1]))
            else:
                splitter = DataSplitter(Rows(), split_type=kind)
            if kind.startswith("simulation"):  # the arguments of PertData.prepare_split
                splitter.split_data(train_gene_set_size=0.75, combo_seen2_train_frac=0.75, seed=seed)
            else:
                splitter.split_data(test_size=0.1, seed=seed)
    except (ValueError, AssertionError, IndexError) as error:
        sizes = [len(constituents(name)) for name in perturbed]
        larger = f", {sum(n > 2 for n in sizes)} larger, which its splitter does not know" if max(sizes) > 2 else ""
        reason = str(error) or f"a check of its splitter fails ({type(error).__name__})"
        raise BenchError(
            f"cell-gears cannot draw a '{kind}' split of these {len(perturbed)} conditions ({sizes.count(1)} single, "
            f"{sizes.count(2)} double{larger}): {reason.rstrip('.')}."
        ) from error
    finally:
        np.random.set_state(state)  # noqa: NPY002
    part = Rows.obs.loc[Rows.obs["condition"] != CONTROL].groupby("split")["condition"]
    return {name: sorted(part.get_group(name)) if name in part.groups else [] for name in PARTS}


def cached_at(labels: Sequence[str], kind: str, seed: int) -> Path:
    """Where the lists of a draw are kept."""
    from importlib.metadata import version

    key = sha256_json(
        {"labels": sorted(labels), "kind": kind, "seed": seed, "gears": version("cell-gears"), "v": VERSION}
    )
    return cache_dir() / "splits" / f"{key[:24]}.json"


def keep_lists(path: Path, kind: str, seed: int, lists: dict[str, list[str]]) -> None:
    """Write the lists of a draw to :func:`cached_at`."""
    write_json(path, {"kind": kind, "seed": seed, "lists": lists, "hash": sha256_json(lists)})


def cached_lists(labels: Sequence[str], kind: str, seed: int) -> dict[str, list[str]]:
    """The lists of :func:`draw_with_gears`, from the cache where they are there and whole."""
    path = cached_at(labels, kind, seed)
    with contextlib.suppress(Exception):  # whatever is wrong with a cache, it is made again
        content = read_json(path, "kept lists")
        if content["hash"] == sha256_json(content["lists"]):
            return {name: list(content["lists"][name]) for name in PARTS}
    lists = draw_with_gears(labels, kind, seed)
    with contextlib.suppress(BenchError, OSError):  # a cache that cannot be written costs time, not the run
        keep_lists(path, kind, seed, lists)
    return lists


def _draw(dataset: Dataset, seed: int, file: Path | None, kind: str) -> Drawn:
    return Drawn(cached_lists(dataset.perturbations, kind, seed))


KINDS = tuple(
    SplitKind(kind, partial(_draw, kind=kind))
    for kind in ("simulation", "simulation_single", "combo_seen0", "combo_seen1", "combo_seen2", "single")
)
