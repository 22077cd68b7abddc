"""What the published scripts do differently, each an option whose value stands in the row; two presets set them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

from bench.core.errors import BenchError, unknown
from bench.core.files import sha256_file

Task = Literal["replicability", "target", "cross"]
Correction = Literal["none", "kpca", "sphering", "plate_z"]
Gate = Literal["both", "compound"]
Aggregation = Literal["mean_ap_null", "geomean_p"]
PlateScale = Literal["none", "wells"]
Controls = Literal["shared", "split"]
#: In the order in which the published scripts do them.
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Options:
    """How profiles are corrected, and how what is found is judged.

    Attributes:
        correction: What is fitted on negative controls and applied to all wells: ``none``; ``kpca``, their (at most
            500) principal components by a linear kernel; ``sphering``, by the inverse root of their covariance;
            ``plate_z``, by mean and spread of those of the same plate.
        plate_scale: ``wells`` standardises each plate by all of its wells before that; CellCLIP: embeddings only.
        gate: Which modalities must have been found replicable to enter the other tasks: ``both``, or ``compound`` only.
        aggregation: ``mean_ap_null``: a label's mean AP against the null of means; ``geomean_p``: the geometric mean of
            p of its profiles, as earlier versions of copairs.
        universe: ``all`` wells, or the hash of a list of them.
        universe_by: How a list is applied.
        controls: ``shared``: a correction is fitted on the very controls that replicates are ranked against, as in
            both scripts; ``split``: on every other control of a plate, which is no negative then.
        threshold: A label counts as retrieved below this q.
        null_size: Random orders that p is taken from.
    """

    correction: Correction = "none"
    plate_scale: PlateScale = "none"
    gate: Gate = "both"
    aggregation: Aggregation = "mean_ap_null"
    universe: str = "all"
    universe_by: str = "wells"
    controls: Controls = "shared"
    threshold: float = 0.05
    null_size: int = 100_000

    def __post_init__(self) -> None:
        kinds = get_type_hints(Options)
        for name in ("correction", "plate_scale", "gate", "aggregation", "controls"):
            if getattr(self, name) not in get_args(kinds[name]):
                raise unknown(name, str(getattr(self, name)), get_args(kinds[name]))
        if not 0 < self.threshold < 1:
            raise BenchError(f"--threshold {self.threshold}: expected a number between 0 and 1.")
        if self.null_size < 100:
            raise BenchError(f"--null-size {self.null_size}: expected 100 or more random orders.")

    @property
    def changed(self) -> dict[str, Any]:
        """Those that differ from the defaults: what a row is named by."""
        return {name: value for name, value in asdict(self).items() if value != getattr(DEFAULT, name)}


DEFAULT = Options()
#: ``stable``: the pipeline published with CPJUMP1. ``cellclip``: CellCLIP's evaluation, whose universe is a list of
#: test wells that has to be given, and whose embeddings are standardised by plate as well.
PRESETS: Mapping[str, Options] = MappingProxyType(
    {
        "stable": DEFAULT,
        "cellclip": Options(
            correction="kpca", gate="compound", aggregation="geomean_p", universe_by="accumulated", plate_scale="wells"
        ),
    }
)


def chosen(preset: str, given: Mapping[str, Any], features: str) -> Options:
    """The options of a preset, with those that were given.

    Args:
        preset: Its name.
        given: Options by name; ``None`` = as in the preset.
        features: ``profile`` or ``embedding``: the scale by plate of ``cellclip`` is for the latter.

    Raises:
        BenchError: No such preset, or a value that an option does not have.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    base = PRESETS[preset]
    if features != "embedding":
        base = replace(base, plate_scale="none")
    known = {field.name for field in fields(Options)}
    return replace(base, **{name: value for name, value in given.items() if value is not None and name in known})


#: What :func:`options_of` takes.
GIVEN = ("preset", *(field.name for field in fields(Options)))


def options_of(given: Mapping[str, Any], features: str) -> Options:
    """The options that are meant by what was given, on a command line or in a suite.

    Args:
        given: Those of :data:`GIVEN`; of ``universe`` the path of its list, which stands in the row by its hash.
        features: See :func:`chosen`.

    Raises:
        BenchError: An option or preset that there is not, a value that one does not have, no such list.
    """
    for name, value in given.items():
        if name not in GIVEN:
            raise unknown("option", name, GIVEN)
        default = getattr(DEFAULT, name, "")
        fits = isinstance(value, int | float) if isinstance(default, float) else isinstance(value, type(default))
        if isinstance(value, bool) or not fits:
            kind = {int: "a whole number", float: "a number"}.get(type(default), "text")
            raise BenchError(f"option '{name}': expected {kind}; it is {value!r}.")
    listed = given.get("universe", "all")
    own = {name: value for name, value in given.items() if name not in ("preset", "universe")}
    if listed != "all":
        path = Path(listed)
        if not path.is_file():
            raise BenchError(f"--universe: no such file: {path}; expected 'all', or a table that lists wells.")
        own["universe"] = sha256_file(path)[:12]
    return chosen(given.get("preset", "stable"), own, features)
