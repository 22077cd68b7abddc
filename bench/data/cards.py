"""Data set cards: where the cells are, what the columns mean, how far the data carry as evidence."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.core.errors import BenchError, unknown
from bench.core.files import configs_dir


class Columns(BaseModel):
    """Where a file keeps what we need; ``None`` = the file does not have it.

    Attributes:
        condition: ``obs`` column of the perturbation label.
        context: ``obs`` column of the cell type or line; absent = one context.
        batch: ``obs`` column of the batch (gem group); absent = one batch.
        gene: ``var`` column of the gene names that the condition labels use; absent = ``var_names``.
        total: ``obs`` column of the whole library's counts, to normalise a gene subset by; absent = row sums.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    condition: str = "condition"
    context: str | None = None
    batch: str | None = None
    gene: str | None = None
    total: str | None = None


class Card(BaseModel):
    """A data set card (``configs/datasets/<name>.yaml``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)  # control: 0; filter: {lane: 3}

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="used in paths and tables")
    description: str = Field(default="", description="one line for people")
    source: str = Field(description="a path, or the name of a generator: simulated, simulated_contexts")
    url: str | None = Field(default=None, description="where the file can be had by hand")
    sha256: str | None = Field(default=None, description="of the file's bytes, checked when given")
    filter: dict[str, str] = Field(default_factory=dict, description="keep rows whose obs column has this value")
    licence: str | None = None
    citation: str | None = None
    columns: Columns = Columns()
    control: tuple[str, ...] = Field(default=("ctrl",), description="labels of unperturbed cells")
    separator: str = Field(default="+", description="between the constituents of a combination")
    expression: Literal["counts", "log1p"] = "log1p"
    min_cells: int = Field(default=10, ge=2, description="fewer cells: trained on, not evaluated")
    split: str = Field(default="simulation", description="the default split")
    evidence: Literal["full", "smoke"] = Field(default="full", description="smoke: rows are shown, claims refused")
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the generator that source names")
    features: tuple[str, ...] = Field(default=("pca",), description="gene feature banks that stand for 'card'")
    folder: Path = Field(default=Path(), exclude=True, description="where the card lies; set on reading")

    @field_validator("features")
    @classmethod
    def _one_bank_each(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        if not features or any(not spec.strip() or "+" in spec or spec == "card" for spec in features):
            raise ValueError("expected a list with one feature bank an entry, e.g. [pca, 'pairs:SIGNOR.csv.gz']")
        return features

    def path(self) -> Path:
        """Find the source file: absolute, then beside the card, then in ``$BENCH_DATA``.

        Raises:
            BenchError: If it is in none of these places; the message says where to put it.
        """
        return self.find(self.source, "source", f"Get it from {self.url}" if self.url else "Get the file")

    def find(self, file: str, field: str, origin: str = "Get the file") -> Path:
        """Find a file that the card names: absolute, then beside the card, then in ``$BENCH_DATA``.

        Args:
            file: The path as the card has it.
            field: The card's field that names it, for the message.
            origin: Where the file can be had, for the message.

        Raises:
            BenchError: If it is in none of these places; the message says where to put it.
        """
        path = Path(file).expanduser()
        data = os.environ.get("BENCH_DATA")
        places = [path] if path.is_absolute() else [self.folder / path, *([Path(data) / path] if data else [])]
        for place in places:
            if place.exists():
                return place
        if path.is_absolute():
            advice = f"put it there, or correct '{field}' in the card of '{self.name}'"
        elif data:
            advice = f"put it at {Path(data) / path} (BENCH_DATA is {data})"
        else:
            advice = f"put it at FOLDER/{path} and set BENCH_DATA=FOLDER (BENCH_DATA is not set)"
        raise BenchError(f"data set '{self.name}': no file {file}. {origin} and {advice}.")


@cache
def names() -> tuple[str, ...]:
    """Names of the shipped cards."""
    return tuple(sorted(path.stem for path in (configs_dir() / "datasets").glob("*.yaml")))


def read_card(path: Path) -> Card:
    """Read a card file.

    Raises:
        BenchError: If it is not YAML, or a field is unknown, missing or of the wrong kind.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BenchError(f"{path}: cannot be read as a YAML card: {error}") from error
    if not isinstance(content, dict):
        raise BenchError(
            f"{path}: a card is a YAML mapping with at least 'source'; see configs/datasets/ for examples."
        )
    control = content.get("control")
    content = {"name": path.stem, **content, "folder": path.resolve().parent}
    if isinstance(control, str):
        content["control"] = (control,)
    if isinstance(content.get("features"), str):
        content["features"] = (content["features"],)
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = Columns.model_fields if first["loc"][0] == "columns" else Card.model_fields
            raise BenchError(f"{path}: {unknown('field', str(first['loc'][-1]), set(known) - {'folder'})}") from error
        raise BenchError(f"{path}: field '{field}': {first['msg']}.") from error


def find_card(name: str) -> Card:
    """Return the card of a shipped name or of a card file (``*.yaml``).

    Raises:
        BenchError: No such card, or no such file.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).exists():
            raise BenchError(f"no such file: {name}")
        return read_card(Path(name))
    if name not in names():
        raise unknown("data set", name, names())
    return read_card(configs_dir() / "datasets" / f"{name}.yaml")
