"""A suite: models x data sets x splits x seeds in one file, and what is claimed of the rows that they make.

``configs/suites/<name>.yaml``. Every entry of ``runs``, and of every other verb of a track (``frozen``, ``plan``,
``profiles``, ``identify``), is a product; all are the suite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from bench.core.door.documents import read_yaml
from bench.core.errors import BenchError, unknown
from bench.core.files import board_name, configs_dir
from bench.core.track import Track
from bench.data.known_latents import SPLIT
from bench.results.claim import Claim, Names, Seeds, listed
from bench.runner.effort import Effort
from bench.tracks import registry

Scalar = bool | int | float | str

#: Claims, and runs, of a suite.
_MOST_CLAIMS, _MOST_RUNS = 10_000, 100_000
#: Fields of a claim that may be lists, and stand in its name.
_LISTED = ("better", "data", "metric", "subgroup")


def _spread(value: Any) -> Any:
    """A claim about several rows, data sets, metrics or subgroups is one about each; its name says which."""
    if not isinstance(value, list) or not all(isinstance(claim, dict) for claim in value):
        return value  # pydantic says what is wrong
    found: list[Any] = []
    for claim in value:
        many = {key: claim[key] for key in _LISTED if isinstance(claim.get(key), list)}
        if (n := len(found) + math.prod(map(len, many.values()))) > _MOST_CLAIMS:
            raise ValueError(
                f"its lists stand for {n:,} claims and more, one for each way to choose from them; at most "
                f"{_MOST_CLAIMS:,} are made. Give shorter lists"
            )
        for chosen in product(*many.values()):
            one = {**claim, **dict(zip(many, chosen, strict=True))}
            name = str(one.get("name", ""))
            for key in _LISTED:
                name = name.replace(f"{{{key}}}", str(one.get(key, f"{{{key}}}")))
            found.append({**one, "name": name} if name else one)
    return found


class Block(BaseModel):
    """One product of a suite.

    Attributes:
        models: Names as ``--model`` takes them.
        data: Names, cards or files as ``--data`` takes them.
        splits: Kinds of split.
        seeds: Split seeds.
        training_seeds: Seeds of pretraining and heads, each under each split seed: what another start would give is
            part of a learned model's uncertainty. Absent = the split seed's own.
        control_folds: Which halves of the controls are the models' input.
        variants: Arguments that differ from the model's own; ``{}`` = none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Names
    data: Names
    splits: Names = ("simulation",)
    seeds: Seeds = (1,)
    training_seeds: Seeds | None = None
    control_folds: Annotated[tuple[Literal[0, 1], ...], Field(min_length=1)] = (0,)
    variants: Annotated[tuple[dict[str, Scalar], ...], Field(min_length=1)] = ({},)

    @property
    def size(self) -> int:
        """Number of its runs."""
        lists = (self.models, self.data, self.splits, self.seeds, self.training_seeds or (1,), self.control_folds)
        return math.prod(map(len, lists)) * len(self.variants)

    def split_seeds(self, split: str) -> Seeds:
        """Seeds under which a split is drawn, by the name that boards give it."""
        return self.seeds if split in map(board_name, self.splits) else ()


class ProfilesBlock(BaseModel):
    """One product of a suite, of rows of profiles of wells.

    Attributes:
        data: Names, cards or tables as ``--data`` takes them.
        options: Flags of the verb that differ from its defaults, a row each: ``{correction: plate_z}``; ``{}`` = none.
        encoders: Names as ``--encoder`` takes them; empty = the features themselves.
        variants: Arguments of the encoders that differ from their own; ``{}`` = none.
        with_bars: Whether the features, and encoders that learned nothing, stand beside the encoders.
        seeds: Of the pretraining.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Names
    options: Annotated[tuple[dict[str, Scalar], ...], Field(min_length=1)] = ({},)
    encoders: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    variants: Annotated[tuple[dict[str, Scalar], ...], Field(min_length=1)] = ({},)
    with_bars: bool = False
    seeds: Seeds = (1,)

    @property
    def models(self) -> tuple[str, ...]:
        """What is fitted."""
        return self.encoders

    @property
    def size(self) -> int:
        """Number of its rows by one seed, without bars."""
        lists = (self.data, self.options, self.encoders or ("",), self.variants, self.seeds)
        return math.prod(map(len, lists))

    def split_seeds(self, split: str) -> Seeds:
        """As of any block."""
        return (1,)


class LatentsBlock(BaseModel):
    """One product of a suite, of rows that are judged by the true latents of generated screens.

    Attributes:
        data: Screens without their seeds, as ``bench identify --data`` takes them.
        rows: Who makes latents, as ``--model`` names them: ``perturbed_vae:ablation=no_align``.
        with_references: Whether what stands beside every model is made too.
        seeds: Of the screens: the replicates, over which intervals are.
        training_seeds: Averaged within a screen; a row that depends on none is made once.
        effort: What each trained row may spend: ``{steps: 500}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Names
    rows: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    with_references: bool = False
    seeds: Seeds = (1,)
    training_seeds: Seeds = (1,)
    effort: Effort = Effort()

    @model_validator(mode="after")
    def _some(self) -> LatentsBlock:
        if not self.rows and not self.with_references:
            raise ValueError("it names no row: give rows, or with_references: true")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """None by the names of models: a row's name may have arguments."""
        return ()

    @property
    def size(self) -> int:
        """Number of its runs, without references."""
        return math.prod(map(len, (self.data, self.rows or ("",), self.seeds, self.training_seeds)))

    def split_seeds(self, split: str) -> Seeds:
        """Seeds of its screens, whose boards have one split."""
        return self.seeds if split == SPLIT else ()


class Suite(BaseModel):
    """What every suite file holds, beside a list of blocks for each track that suites may ask: see :func:`kind`.

    Attributes:
        name: The file's name.
        description: One line for people.
        published: Whether its rows stand on the published boards.
        unkept: Rows of which nothing is kept that their numbers could be computed from again, because few digits do not
            do: ``run simulated__doubles knn``. Of all others the audit asks for it.
        claims: About the rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", validate_default=False)
    description: str = ""
    published: bool = True
    unkept: tuple[str, ...] = ()
    claims: Annotated[tuple[Claim, ...], BeforeValidator(_spread)] = ()

    @model_validator(mode="after")
    def _bounded(self) -> Suite:
        if (n := sum(block.size for _, block in self.blocks())) > _MOST_RUNS:
            raise ValueError(
                f"its blocks stand for {n:,} runs, one for each way to choose from their lists; at most {_MOST_RUNS:,} "
                f"are planned. Give shorter lists, or several suites"
            )
        return self

    def blocks(self) -> Iterator[tuple[str, AnyBlock]]:
        """All blocks with their verbs, runs first: a frozen encoder is taken from a run's checkpoint."""
        for track in _asked():
            yield from ((track.verb, block) for block in getattr(self, _field(track)))


AnyBlock: TypeAlias = Block | ProfilesBlock | LatentsBlock
#: What tracks take, in the order in which a suite asks them, and the blocks that say what is given.
_BLOCKS: dict[str, type[AnyBlock]] = {
    **dict.fromkeys(("predictions", "encoder", "candidates"), Block),
    "profiles": ProfilesBlock,
    "latents": LatentsBlock,
}


def _asked() -> list[Track]:
    """The tracks in the order in which suites ask them."""
    return sorted(registry.tracks(), key=lambda t: list(_BLOCKS).index(t.takes))


def _field(track: Track) -> str:
    """What a track's blocks are called in a suite: its verb, but of the plain boards ``runs``."""
    return track.verb if track.suffix else "runs"


def kind() -> type[Suite]:
    """The suite with a field for each track."""
    lists: dict[type[BaseModel], Any] = {
        Block: tuple[Block, ...],
        ProfilesBlock: tuple[ProfilesBlock, ...],
        LatentsBlock: tuple[LatentsBlock, ...],
    }
    blocks: dict[str, Any] = {_field(track): (lists[_BLOCKS[track.takes]], ()) for track in _asked()}
    made: type[Suite] = create_model("Suite", __base__=Suite, **blocks)
    return made


def points(block: Block) -> Iterator[tuple[str, str, dict[str, Scalar], tuple[int, int], int, str]]:
    """The product of a block: (data, split, variant, (split seed, training seed), control fold, model).

    Models vary fastest and variants slower than seeds, so that the first variant, which pretrains what the others take
    from its checkpoint, is done for all seeds before the next.
    """
    trained = [(seed, training) for seed in block.seeds for training in block.training_seeds or (seed,)]
    yield from product(block.data, block.splits, block.variants, trained, block.control_folds, block.models)


def names() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in (configs_dir() / "suites").glob("*.yaml"))


def find(name: str) -> Suite:
    """Read a shipped suite by name, or a suite file.

    Raises:
        BenchError: No such suite, or not a suite.
    """
    if not name.endswith((".yaml", ".yml")):
        if name not in names():
            raise unknown("suite", name, names())
        return read(configs_dir() / "suites" / f"{name}.yaml")
    return read(Path(name))


def read(path: Path) -> Suite:
    """Read a suite file.

    Raises:
        BenchError: Not there, not YAML, a field that is unknown or holds something else, or nothing to run.
    """
    if not path.is_file():
        raise BenchError(f"no such suite: {path}. Shipped: {', '.join(names()) or 'none'}.")
    content = read_yaml(path, "YAML")
    if not isinstance(content, dict):
        raise BenchError(f"{path}: not a suite: expected fields runs, frozen, claims; 'bench sweep --help' shows one.")
    try:
        suite = kind().model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise BenchError(f"{path}: {_problem(error)}") from error
    except BenchError as error:  # a row of latents may not spend that
        raise BenchError(f"{path}: {error}") from error
    if not list(suite.blocks()):
        raise BenchError(f"{path}: nothing to run: 'runs' and 'frozen' are empty. Add a block with models and data.")
    twice = sorted({claim.name for claim in suite.claims if [c.name for c in suite.claims].count(claim.name) > 1})
    if twice:
        raise BenchError(f"{path}: two claims are called '{twice[0]}'; give each its own name.")
    return suite


def _problem(error: ValidationError) -> str:
    """The first problem in words: where it stands, and the nearest field if one is unknown."""
    first = min(
        error.errors(), key=lambda problem: problem["type"] != "extra_forbidden"
    )  # a misspelt one is missing too
    place = first["loc"]
    where = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        kinds: dict[str, type[BaseModel]] = {_field(track): _BLOCKS[track.takes] for track in _asked()}
        known = (kinds | {"claims": Claim}).get(str(place[0]), kind()).model_fields
        return f"{'.'.join(str(part) for part in place[:-1]) or 'the file'}: {unknown('field', str(place[-1]), known)}"
    if first["type"] == "too_short":
        return f"{where} is empty: the block would stand for no run. Name at least one."
    if first["type"] == "missing":
        return f"{where} is missing."
    said = first["msg"].removeprefix("Value error, ").rstrip(".")
    if isinstance(first["input"], str | int | float | None):
        said += (
            f"; it is {str(first['input'])[:100]!r}" if isinstance(first["input"], str) else f"; it is {first['input']}"
        )
    return f"{where}: {said}." if where else f"{said}."
