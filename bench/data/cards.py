"""Data set cards: where the cells are, what the columns mean, how far the data carry as evidence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench.core.door.documents import read_yaml
from bench.core.doses import HOURS, HOURS_NAMES, MOLAR, MOLAR_NAMES, unit_of
from bench.core.errors import BenchError, unknown
from bench.core.files import configs_dir


def _tuple(value: object) -> object:
    """Let one label stand for a list of one; a word that YAML reads as true or false is refused."""
    if isinstance(value, dict):
        return value
    entries = value if isinstance(value, list | tuple | set) else (value,)
    if any(isinstance(entry, bool) for entry in entries):
        raise ValueError("YAML reads no, yes, on, off, true and false as a truth value: put the label in quotes")
    return tuple(entries)


#: One label or a list; numbers are labels.
Labels = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
_FROZEN = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)  # control: 0; filter: {lane: 3}


class Columns(BaseModel):
    """Where a file keeps what we need; ``None`` (in a card ``null``) = the file does not have it."""

    model_config = _FROZEN

    condition: str = Field(default="condition", description="obs column of the perturbation label")
    context: str | None = Field(default=None, description="obs column of the cell type or line; absent = one context")
    batch: str | None = Field(default=None, description="obs column of the batch (gem group); absent = one batch")
    gene: str | None = Field(default=None, description="var column of the gene names that labels use; absent = index")
    total: str | None = Field(
        default=None, description="obs column of a cell's counts over all genes, to normalise a subset of genes by"
    )
    dose: str | None = Field(default=None, description="obs column of the dose; see kind")
    time: str | None = Field(default=None, description="obs column of the time; see kind")
    donor: str | None = Field(default=None, description="obs column of the donor; all donors are one condition")


class Role(BaseModel):
    """Which cells are controls, where another column than the label says so."""

    model_config = _FROZEN

    column: str = Field(description="obs column that says what a cell is")
    value: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(str(e) for e in (v if isinstance(v, list | tuple) else [v]))),
    ] = Field(description="its value, or values, in control cells")


class Card(BaseModel):
    """A data set card (``configs/datasets/<name>.yaml``)."""

    model_config = _FROZEN

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="used in paths and tables")
    description: str = Field(default="", description="one line for people")
    source: str = Field(description="a path, or the name of a generator: simulated, simulated_contexts, latents")
    url: str | None = Field(default=None, description="where to get the file; an address alone can be fetched")
    size: int | None = Field(default=None, gt=0, description="bytes that url sends")
    checksum: str | None = Field(default=None, description="of what url sends: md5:... or sha256:...")
    member: str | None = Field(default=None, description="file in the archive that url sends; absent = as source")
    sha256: str | None = Field(default=None, description="of the file's bytes, checked when given")
    filter: dict[str, str] = Field(default_factory=dict, description="keep rows whose obs column has this value")
    licence: str | None = Field(default=None, description="of the data")
    citation: str | None = Field(default=None, description="of the data")
    layer: str | None = Field(default=None, description="layer that holds the values; absent = X")
    raw: bool = Field(default=False, description="whether the values, and their genes, are those of adata.raw")
    columns: Columns = Field(default=Columns(), description="where the file keeps what we need")
    role: Role | None = Field(default=None, description="column and value that mark controls, whatever their label")
    control: Labels = Field(default=("ctrl",), description="labels of unperturbed cells, or patterns (NTC-*)")
    separator: str = Field(default="+", description="between the constituents of a combination; none = no combinations")
    strip: str | None = Field(default=None, description="regular expression cut off each constituent's end (guide no.)")
    dose: str | None = Field(default=None, description="regular expression of a label's dose, which its group is")
    drop: Labels = Field(default=(), description="labels, or patterns, of cells that are left out")
    kind: Literal["genetic", "chemical"] | None = Field(
        default=None,
        description="chemical: a label is a compound, whole; its doses and times are conditions (else all are one)",
    )
    dose_unit: str = Field(default="uM", description="of doses that are numbers alone: pM, nM, uM, mM, M")
    time_unit: str = Field(default="h", description="of times that are numbers alone: min, h, d")
    smiles: str | None = Field(
        default=None, description="obs column of the compounds' SMILES, or a csv with columns compound and smiles"
    )
    expression: Literal["counts", "log1p"] = Field(default="log1p", description="what the values are")
    min_cells: int = Field(default=10, ge=2, description="fewer cells: trained on, not evaluated")
    split: str = Field(default="simulation", description="the default split")
    evidence: Literal["full", "smoke"] = Field(default="full", description="smoke: rows are shown, claims refused")
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the generator that source names")
    features: Labels = Field(default=("pca",), description="gene feature banks that stand for 'card'")
    folder: Path = Field(default=Path(), exclude=True, description="where the card lies; set on reading")

    @property
    def split_at(self) -> str:
        """What labels are split at; empty = nothing."""
        return "" if self.separator == "none" else self.separator

    @property
    def smiles_column(self) -> str | None:
        """The obs column of SMILES; None = there is none, or a csv has them."""
        return None if self.smiles is None or self.smiles.endswith((".csv", ".csv.gz")) else self.smiles

    @field_validator("separator", mode="before")
    @classmethod
    def _none_is_a_word(cls, separator: object) -> object:
        return "none" if separator in (None, "") else separator

    @property
    def address(self) -> str | None:
        """The address that a program can fetch; None = there is none, or ``url`` is words for people."""
        return self.url if self.url and re.fullmatch(r"https?://[^\s/]+/\S*", self.url) else None

    @field_validator("checksum")
    @classmethod
    def _names_its_kind(cls, checksum: str | None) -> str | None:
        if checksum and not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", checksum):
            raise ValueError("expected md5: and 32, or sha256: and 64 digits 0-9a-f")
        return checksum

    @field_validator("strip", "dose")
    @classmethod
    def _compiles(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        try:
            groups = re.compile(pattern).groups if pattern else 1
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if info.field_name == "dose" and groups != 1:
            raise ValueError(r"expected a regular expression with one group, the dose, e.g. '_(\d+)$'")
        return pattern

    @field_validator("dose_unit", "time_unit")
    @classmethod
    def _is_a_unit(cls, unit: str, info: ValidationInfo) -> str:
        known, names = (MOLAR, MOLAR_NAMES) if info.field_name == "dose_unit" else (HOURS, HOURS_NAMES)
        if unit_of(unit, known) is None:
            raise ValueError(f"expected one of {names}")
        return unit

    @model_validator(mode="after")
    def _one_place(self) -> Card:
        if self.raw and self.layer:
            raise ValueError("'raw' and 'layer' are two places of the values; choose one")
        return self

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
        origin = f"Get it from {self.url}" if self.url else "Get the file"
        if self.address:
            name = self.name if self.name in names() else "CARD.yaml"
            origin = f"Run 'bench data fetch {name}', or get it from {self.url}"
        return self.find(self.source, "source", origin)

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
    content = read_yaml(path, "a YAML card")
    if not isinstance(content, dict):
        raise BenchError(
            f"{path}: a card is a YAML mapping with at least 'source'; see configs/datasets/ for examples."
        )
    content = {"name": path.stem, **content, "folder": path.resolve().parent}
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            parts: dict[object, type[BaseModel]] = {"columns": Columns, "role": Role}
            known = parts.get(first["loc"][0], Card).model_fields
            raise BenchError(f"{path}: {unknown('field', str(first['loc'][-1]), set(known) - {'folder'})}") from error
        where = f"field '{field}': " if field else ""
        raise BenchError(f"{path}: {where}{first['msg']}.") from error


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


def describe_fields() -> str:
    """Write what every field of a card means, a line each, for ``bench data card --help``."""

    def lines(model: type[BaseModel], indent: str) -> Iterator[str]:
        inner: dict[str, type[BaseModel]] = {"columns": Columns, "role": Role}
        for name, field in model.model_fields.items():
            if field.exclude:
                continue
            yield f"{indent}{name:<{14 - len(indent)}}{field.description}"
            if name in inner:
                yield from lines(inner[name], indent + "  ")

    return "\n".join(lines(Card, "  "))
