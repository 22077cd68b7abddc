"""A made-up screen of plates with planted replicates, targets, plate effects and two modalities.

A well's latent state is the direction of its target (in abstract programs of the cell), times the strength of the
perturbation, with a little of the perturbation's own. Features are a linear view of the state. To this come what hides
targets in raw features and not in standardised ones: a few loud features, which each perturbation moves in its own
way and which vary between control wells too; and the offset of each plate.

Contract (tests/data/profiles/test_simulate.py): raw features recover replicates and hardly targets; dividing by the
spread of a plate's controls recovers more; the states themselves recover both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from bench.core.arguments import NonNegativeInt
from bench.core.files import sha256_json
from bench.core.typing import Floats
from bench.data.profiles.wells import COMPOUND, CRISPR, Wells

#: Raised with any change that alters a well for the same parameters.
GENERATOR_VERSION = 1
CONTROL = "DMSO"
_ROWS, _COLUMNS = "ABCDEFGH", 12


@dataclass(frozen=True)
class ProfileParameters:
    """Every number of the generator."""

    seed: NonNegativeInt = 0
    # Design
    cells: int = 2  # cell lines
    plates: int = 3  # replicate plates of each cell line and modality
    targets: int = 20
    compounds: int = 60  # three of each target; a tenth has a second one
    guides: int = 2  # per target
    controls: int = 16  # negative-control wells of a plate
    features: int = 120
    # Signal
    programs: int = 24  # dimensions of the cell's state
    strength: float = 2.6  # norm of a perturbation's state, median
    strength_sd: float = 0.35  # log, between perturbations
    own: float = 0.75  # norm of what a perturbation does beside its target, as a share of its strength
    inactive: float = 0.15  # share of perturbations that do nothing
    # What hides it
    loud: float = 0.3  # share of loud features
    loudness: float = 6.0  # how much louder
    nuisance: float = 2.5  # SD of what a perturbation does to a loud feature, in SD of control wells
    noise: float = 0.6  # SD of a well's own noise per feature, and of its state
    plate_effect: float = 1.5  # SD of a plate's offset per feature, in SD of control wells

    def __post_init__(self) -> None:
        room = len(_ROWS) * _COLUMNS - self.controls
        most = max(self.compounds, self.guides * self.targets)
        if not 1 <= most <= room:
            raise ValueError(f"{most} perturbations: expected 1 to {room} beside {self.controls} controls on a plate")
        if min(self.cells, self.plates, self.targets, self.features, self.programs) < 1:
            raise ValueError("cells, plates, targets, features and programs: expected at least 1 of each")


SIMULATED_PROFILES = ProfileParameters()


@dataclass(frozen=True, eq=False)
class DrawnWells:
    """Wells, and the states that they were drawn from.

    Attributes:
        wells: Profiles.
        states: State of each well, its noise included ``[N, programs]``.
    """

    wells: Wells
    states: Floats


def simulate(parameters: ProfileParameters = SIMULATED_PROFILES, name: str = "simulated_profiles") -> DrawnWells:
    """Draw a screen.

    Args:
        parameters: Its numbers.
        name: What the data set is called.
    """
    p, rng = parameters, np.random.default_rng([parameters.seed, 0x9F0])
    view = rng.normal(0, p.programs**-0.5, (p.programs, p.features))
    loud = np.zeros(p.features, dtype=bool)
    loud[rng.permutation(p.features)[: round(p.loud * p.features)]] = True
    scale = np.where(loud, p.loudness, 1.0)
    directions = _unit(rng.normal(size=(p.targets, p.programs)))
    acts = _perturbations(p, rng)
    rows: list[tuple[str, str, str, str, str, str, bool, tuple[str, ...]]] = []
    states, values = [], []
    no_targets: tuple[str, ...] = ()
    for line in range(p.cells):
        for modality, made in acts.items():
            active = rng.random(len(made)) >= p.inactive
            moved = [
                is_active * _state(p, rng, directions, of) for (_, of), is_active in zip(made, active, strict=True)
            ]
            beside = rng.normal(0, p.nuisance, (len(made), p.features)) * loud * active[:, None]
            for plate in range(p.plates):
                offset = rng.normal(0, p.plate_effect, p.features)
                barcode = f"P{line + 1}{modality[:2].upper()}{plate + 1}"
                order = rng.permutation(len(_ROWS) * _COLUMNS)[: p.controls + len(made)]
                for i, place in enumerate(np.sort(order)[rng.permutation(len(order))].tolist()):
                    which = i - p.controls
                    clean = np.zeros(p.programs) if which < 0 else moved[which]
                    state = clean + rng.normal(0, p.noise * p.programs**-0.5, p.programs)
                    extra = 0.0 if which < 0 else beside[which]
                    own = rng.normal(0, p.noise, p.features) + loud * rng.normal(0, 1, p.features)
                    label, aims = made[which] if which >= 0 else (CONTROL, no_targets)
                    well = f"{_ROWS[place // _COLUMNS]}{place % _COLUMNS + 1:02d}"
                    time = "long" if modality == COMPOUND else "short"
                    rows.append((barcode, well, label, modality, f"line{line + 1}", time, which < 0, aims))
                    states.append(state)
                    values.append(scale * (state @ view * 2 + extra + own + offset))
    columns = list(zip(*rows, strict=True))
    wells = Wells(
        name=name,
        x=np.array(values),
        features=tuple(f"Feature_{i:03d}" for i in range(p.features)),
        plate=np.array(columns[0]),
        well=np.array(columns[1]),
        batch=np.full(len(rows), "batch1"),
        perturbation=np.array(columns[2]),
        control=np.array(columns[6]),
        targets=tuple(row[7] for row in rows),
        modality=np.array(columns[3]),
        cell=np.array(columns[4]),
        time=np.array(columns[5]),
        # Floating-point values may differ in the last bit between platforms: the identity is that of what makes them.
        hash=sha256_json({"generator": GENERATOR_VERSION, "parameters": asdict(p)}),
    )
    return DrawnWells(wells, np.array(states))


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _perturbations(p: ProfileParameters, rng: np.random.Generator) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """Names and targets of the perturbations of each modality."""
    compounds: list[tuple[str, tuple[str, ...]]] = []
    for i in range(p.compounds):
        named = [i % p.targets]
        if rng.random() < 0.1:
            named.append(int(rng.integers(p.targets)))
        compounds.append((f"BRD{i:03d}", tuple(dict.fromkeys(f"GENE{t:02d}" for t in named))))
    guides: list[tuple[str, tuple[str, ...]]] = [
        (f"guide{t:02d}_{g + 1}", (f"GENE{t:02d}",)) for t in range(p.targets) for g in range(p.guides)
    ]
    return {COMPOUND: compounds, CRISPR: guides}


def _state(p: ProfileParameters, rng: np.random.Generator, directions: Floats, targets: tuple[str, ...]) -> Floats:
    """What a perturbation does to the state: along its targets, up or down for compounds, and something of its own."""
    along = np.mean([directions[int(name.removeprefix("GENE"))] for name in targets], axis=0)
    own = _unit(rng.normal(size=(1, p.programs)))[0]
    strength = p.strength * float(np.exp(rng.normal(0, p.strength_sd)))
    return np.asarray(strength * (along + p.own * own))
