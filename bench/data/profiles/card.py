"""Cards of profile data: where the plates are, what their columns mean, which of them are looked at."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.core.door.documents import read_yaml
from bench.core.errors import BenchError, unknown
from bench.core.files import configs_dir, file_part
from bench.data.cards import Labels
from bench.data.profiles.wells import COMPOUND, CRISPR, ORF

_FROZEN = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class ProfileColumns(BaseModel):
    """Where a table of wells keeps what we need; null = it does not have it. Defaults: CPJUMP1."""

    model_config = _FROZEN

    plate: str = Field(default="Metadata_Plate", description="plate barcode")
    well: str = Field(default="Metadata_Well", description="position on the plate")
    batch: str | None = Field(default=None, description="batch of the plate, in one table")
    perturbation: str = Field(default="Metadata_broad_sample", description="compound, guide or construct")
    control: str = Field(default="Metadata_control_type", description="column whose value marks negative controls")
    targets: str | None = Field(default="Metadata_target_list", description="known targets of compounds")
    gene: str | None = Field(default="Metadata_gene", description="gene of a guide or construct")
    modality: str | None = Field(default=None, description="compound, crispr or orf, in one table")
    cell: str | None = Field(default=None, description="cell type or line, in one table")
    time: str | None = Field(default=None, description="time point, in one table")


class ExperimentColumns(BaseModel):
    """Columns of an experiment's metadata, one row per plate. Defaults: CPJUMP1."""

    model_config = _FROZEN

    batch: str = "Batch"
    plate: str = "Assay_Plate_Barcode"
    modality: str = "Perturbation"
    cell: str = "Cell_type"
    time: str = "Time"


class ProfileCard(BaseModel):
    """A card of profile data (``configs/profiles/<name>.yaml``)."""

    model_config = _FROZEN

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="used in paths and tables")
    description: str = Field(default="", description="one line for people")
    source: str = Field(description="one table of all wells, the folder of an experiment, or simulated_profiles")
    url: str | None = Field(default=None, description="where to get it")
    fetch: str | None = Field(default=None, description="which files are needed, where they are, and their layout")
    licence: str | None = Field(default=None, description="of the data")
    citation: str | None = Field(default=None, description="of the data")
    evidence: Literal["full", "smoke"] = Field(default="full", description="smoke: rows are shown, claims refused")
    metadata_prefix: str = Field(default="Metadata_", description="begins the name of every column but features")
    columns: ProfileColumns = Field(default=ProfileColumns(), description="columns of a table of wells")
    control: Labels = Field(default=("negcon", "DMSO"), description="values or perturbations of negative controls")
    separator: str = Field(default="|", description="between several targets of one compound")
    experiment: str | None = Field(default=None, description="pattern of the table with a row per plate")
    experiment_columns: ExperimentColumns = Field(default=ExperimentColumns(), description="its columns")
    annotations: Labels = Field(default=(), description="patterns of tables with more about perturbations")
    annotation_key: str = Field(default="broad_sample", description="column that they are joined by")
    profiles: str = Field(default="{plate}.csv.gz", description="pattern of a plate's file; {batch}, {plate}")
    embeddings: str = Field(default="**/{plate}.h5", description="pattern of a plate's embedding")
    keep: dict[str, Labels] = Field(default_factory=dict, description="plates whose metadata have these values")
    drop: tuple[dict[str, str], ...] = Field(default=(), description="of these, plates that have all of these values")
    short: dict[str, float] = Field(
        default={COMPOUND: 24, ORF: 48, CRISPR: 96}, description="hours that are called short; others are long"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the generator that source names")
    folder: Path = Field(default=Path(), exclude=True, description="where the card lies; set on reading")

    @property
    def needs(self) -> str:
        """What is to be fetched, for the end of a message; empty where the card does not say."""
        return f" It needs: {self.fetch.strip()}." if self.fetch else ""

    @field_validator("experiment", "profiles", "embeddings", "annotations")
    @classmethod
    def _stays_inside(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        """Refuse patterns that lead out of the experiment's folder, or ask for more than a plate and its batch."""
        for pattern in (value,) if isinstance(value, str) else value or ():
            bare = pattern.replace("{plate}", "x").replace("{batch}", "x")
            if not bare or "{" in bare or "}" in bare or "\0" in bare:
                raise ValueError(f"'{pattern}' is no pattern of files; {{plate}} and {{batch}} may stand in it")
            if PurePath(bare).is_absolute() or ".." in PurePath(bare).parts:
                raise ValueError(f"'{pattern}' leads out of the experiment's folder")
            if any("**" in part and part != "**" for part in PurePath(bare).parts):
                raise ValueError(f"'{pattern}': ** stands for folders, alone between two slashes")
        return value


@cache
def names() -> tuple[str, ...]:
    """Names of the shipped cards."""
    return tuple(sorted(path.stem for path in (configs_dir() / "profiles").glob("*.yaml")))


def find_card(name: str) -> ProfileCard:
    """Return the card of a shipped name, of a card file (``*.yaml``), or one for a bare table.

    Raises:
        BenchError: No such card or file, or one that is not valid.
    """
    path = Path(name)
    if name.endswith((".csv", ".csv.gz", ".parquet")):
        stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
        return ProfileCard(name=file_part(stem), source=path.name, folder=path.resolve().parent)
    if not name.endswith((".yaml", ".yml")):
        if name not in names():
            raise unknown("profile data", name, names())
        path = configs_dir() / "profiles" / f"{name}.yaml"
    content = read_yaml(path, "a YAML card")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BenchError(f"{path}: a card is a YAML mapping with at least 'source'; see configs/profiles/.")
    try:
        return ProfileCard.model_validate({"name": path.stem, **content, "folder": path.resolve().parent})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            fields = ProfileColumns if first["loc"][0] == "columns" else ProfileCard
            raise BenchError(f"{path}: {unknown('field', str(first['loc'][-1]), fields.model_fields)}") from error
        raise BenchError(f"{path}: field '{where}': {first['msg']}.") from error
