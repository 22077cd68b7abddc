"""Splits: which conditions a model may learn from, which controls it may see, from which cells it predicts.

A split is a pure function of (condition strings, barcodes, kind, seed, control fold). The conditions are drawn by
cell-gears itself, on sorted rows; the lists are then kept as JSON, so that later commands need not import it. Two
kinds are not drawn: ``doubles`` follows from the data, ``custom`` is read from a file.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.conditions import CONTROL, constituents, identity, single
from bench.data import doubles
from bench.data.cells import PerturbationData
from bench.data.controls import control_pools
from bench.errors import BenchError, unknown
from bench.files import cache_dir, sha256_json, write_json

KINDS = ("simulation", "simulation_single", "combo_seen0", "combo_seen1", "combo_seen2", "single", "doubles", "custom")
SUBGROUPS = ("unseen_single", "combo_seen0", "combo_seen1", "combo_seen2")
#: Changes when the same inputs would give another split.
VERSION = 1
_PARTS = ("train", "val", "test")


class Split(BaseModel):
    """Who is train, val and test, and which controls are whose.

    Attributes:
        kind: One of :data:`KINDS`.
        seed: Seed of the draw (conditions and controls).
        control_fold: 0 or 1; 1 swaps the two control pools.
        train: Conditions that models learn from (without the control).
        val: Conditions that models may be chosen by.
        test: Conditions that models are evaluated on.
        unused: Conditions in no part.
        subgroups: Test conditions by what of them is in the *final* train set.
        input_controls: Barcodes of the controls that models see, by context.
        reference_controls: Barcodes of the controls that no model sees, by context.
        input_cells: Barcodes of the (at most 256) input controls from which every condition is predicted, by context.
        notes: What a user should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    seed: int
    control_fold: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    unused: tuple[str, ...]
    subgroups: dict[str, tuple[str, ...]]
    input_controls: dict[str, tuple[str, ...]]
    reference_controls: dict[str, tuple[str, ...]]
    input_cells: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def split_id(self) -> str:
        """Hash of the full lists (16 hex digits)."""
        return sha256_json({"version": VERSION, **self.model_dump(mode="json", exclude={"notes"})})[:16]

    def summary(self) -> dict[str, object]:
        """What ``bench data split --json`` prints."""
        pools = {"input": self.input_controls, "reference": self.reference_controls}
        return {
            **self.model_dump(mode="json", include={*_PARTS, "unused", "subgroups", "control_fold"}),
            "controls": {name: len({b for part in pool.values() for b in part}) for name, pool in pools.items()},
            "split_id": self.split_id,
        }


def subgroup(condition: str, train: Sequence[str]) -> str:
    """Name what of a test condition was seen: a constituent is seen if its *single* is in the final train set.

    cell-gears labels before it carves out validation, so that some of its ``combo_seen2`` pairs lack a constituent.
    """
    singles = {identity(name) for name in train}
    genes = constituents(condition)
    seen = sum(identity(single(gene)) in singles for gene in genes)
    return "unseen_single" if len(genes) == 1 else f"combo_seen{seen}"


def draw_with_gears(labels: Sequence[str], kind: str, seed: int) -> dict[str, list[str]]:
    """Draw condition lists with cell-gears' own ``DataSplitter``.

    Args:
        labels: Condition strings of a file; sorted here, because some of its draws depend on row order.
        kind: One of :data:`KINDS` but ``doubles`` and ``custom``.
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
        raise BenchError(
            f"cell-gears cannot draw a '{kind}' split of these {len(perturbed)} conditions: {error}."
        ) from error
    finally:
        np.random.set_state(state)  # noqa: NPY002
    part = Rows.obs.loc[Rows.obs["condition"] != CONTROL].groupby("split")["condition"]
    return {name: sorted(part.get_group(name)) if name in part.groups else [] for name in _PARTS}


def read_custom(path: Path, labels: Sequence[str]) -> dict[str, list[str]]:
    """Read a custom split: ``{"train": [...], "val": [...], "test": [...]}``; conditions are matched as sets.

    Raises:
        BenchError: Not such a file, an unknown condition, or one condition in two parts.
    """
    if not path.is_file():
        raise BenchError(f"no such file: {path}")
    form = '{"train": [...], "val": [...], "test": [...]}'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: not a custom split: {error}. Expected {form}.") from error
    if not isinstance(content, dict) or not all(isinstance(value, list) for value in content.values()):
        raise BenchError(f"{path}: not a custom split: expected lists of conditions, {form}.")
    for name in content:
        if name not in (*_PARTS, "unused"):
            raise BenchError(f"{path}: {unknown('part', name, _PARTS)}")
    lists = {name: content.get(name, []) for name in _PARTS}
    by_identity: dict[frozenset[str], list[str]] = {}
    for label in labels:
        by_identity.setdefault(identity(label), []).append(label)
    part_of: dict[frozenset[str], str] = {}
    for name, conditions in lists.items():
        for condition in conditions:
            key = identity(str(condition))
            if key not in by_identity:
                raise BenchError(
                    f"{path}: condition '{condition}' in '{name}' is not in the data.{_near(condition, labels)}"
                )
            if key and part_of.setdefault(key, name) != name:
                raise BenchError(f"{path}: condition '{condition}' is both in '{part_of[key]}' and in '{name}'.")
    return {
        name: sorted(s for key, part in part_of.items() if part == name for s in by_identity[key]) for name in _PARTS
    }


def _near(condition: object, labels: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(condition), labels, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


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


def _cached_lists(labels: Sequence[str], kind: str, seed: int) -> dict[str, list[str]]:
    path = cached_at(labels, kind, seed)
    with contextlib.suppress(Exception):  # whatever is wrong with a cache, it is made again
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["hash"] == sha256_json(content["lists"]):
            return {name: list(content["lists"][name]) for name in _PARTS}
    lists = draw_with_gears(labels, kind, seed)
    with contextlib.suppress(BenchError):  # a cache that cannot be written costs time, not the run
        keep_lists(path, kind, seed, lists)
    return lists


def merge_parts(lists: Mapping[str, Sequence[str]], name_of: Mapping[str, str]) -> tuple[dict[str, list[str]], int]:
    """Give merged conditions one part: test before val before train.

    Args:
        lists: Parts as drawn on the file's strings.
        name_of: Merged name of each string.

    Returns:
        The parts with merged names, and how many conditions had spellings in different parts.
    """
    part_of: dict[str, str] = {}
    moved = set()
    for part in _PARTS:  # the later part wins
        for label in lists[part]:
            name = name_of[label]
            if part_of.get(name, part) != part:
                moved.add(name)
            part_of[name] = part
    return {part: sorted(name for name, where in part_of.items() if where == part) for part in _PARTS}, len(moved)


def draw(
    data: PerturbationData, kind: str = "simulation", seed: int = 1, control_fold: int = 0, custom: Path | None = None
) -> Split:
    """Draw the split of a data set.

    Args:
        data: The cells.
        kind: One of :data:`KINDS`.
        seed: Seed of the draw.
        control_fold: 0 or 1.
        custom: The JSON file of a ``custom`` split.

    Raises:
        BenchError: Unknown kind, or an empty train or test part.
    """
    if kind not in KINDS:
        raise unknown("split", kind, KINDS)
    if control_fold not in (0, 1):
        raise BenchError(f"control fold {control_fold}: expected 0 or 1.")
    labels = data.file_conditions
    left_out: list[str] = []
    if kind == doubles.KIND:
        lists, left_out = doubles.parts(labels)
    elif kind == "custom":
        if custom is None:
            raise BenchError("split 'custom' needs --split-file FILE, a JSON with lists train, val and test.")
        lists = read_custom(custom, labels)
    else:
        lists = _cached_lists(labels, kind, seed)
    by_identity = {identity(name): name for name in data.conditions}
    parts, moved = merge_parts(lists, {label: by_identity[identity(label)] for label in labels})
    for part in ("train", "test"):
        if not parts[part]:
            sizes = ", ".join(f"{len(parts[name])} {name}" for name in _PARTS)
            raise BenchError(
                f"split '{kind}' with seed {seed} has no {part} conditions ({sizes}). Choose another split."
            )
    named = {name for part in parts.values() for name in part}
    unused = tuple(name for name in data.conditions if name not in named and name != CONTROL)
    groups: dict[str, list[str]] = {}
    for name in parts["test"]:
        groups.setdefault(subgroup(name, parts["train"]), []).append(name)
    inputs, reference, cells, notes = control_pools(data, seed, control_fold)
    notes += left_out
    if moved:
        notes.append(f"{moved} conditions had spellings in different parts: moved to test before val before train")
    if unused and not left_out:
        notes.append(f"{len(unused)} conditions are in no part of this split")
    small = [name for name in parts["test"] if len(data.cells_of[name]) < data.min_cells]
    if small:
        notes.append(f"{len(small)} test conditions have under {data.min_cells} cells: not evaluated")
    return Split(
        kind=kind,
        seed=seed,
        control_fold=control_fold,
        **{name: tuple(parts[name]) for name in _PARTS},
        unused=unused,
        subgroups={name: tuple(groups[name]) for name in sorted(groups)},
        input_controls=inputs,
        reference_controls=reference,
        input_cells=cells,
        notes=tuple(notes),
    )
