"""Morgan fingerprints: what a compound's SMILES say of its structure (needs rdkit)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.conditions import INNER_PLUS, written
from bench.core.door.tables import read_csv
from bench.core.errors import BenchError
from bench.data.features.bank import FeatureBank, shorten

NAME = "fingerprints"
RADIUS, BITS = 2, 1024
#: Longer ones are no small molecules, and reading them may take for ever.
LONGEST = 2_000
_OPTIONS = {"radius": (0, 10, RADIUS), "bits": (16, 65_536, BITS)}


def options_of(spec: str) -> tuple[int, int]:
    """Radius and number of bits of ``fingerprints:radius=3,bits=2048``.

    Raises:
        BenchError: An unknown option, or a value that is no whole number within its bounds.
    """
    values = {name: default for name, (_, _, default) in _OPTIONS.items()}
    for part in filter(None, spec.partition(":")[2].split(",")):
        name, _, text = (word.strip() for word in part.partition("="))
        if name not in _OPTIONS:
            raise BenchError(f"features '{spec}': no option '{name}'; there are radius and bits.")
        low, high, _ = _OPTIONS[name]
        if not text.isdecimal() or not low <= int(text) <= high:
            raise BenchError(f"features '{spec}': {name} is '{text}'; expected a whole number from {low} to {high}.")
        values[name] = int(text)
    return values["radius"], values["bits"]


def read_smiles(path: Path) -> dict[str, str]:
    """Read a table of SMILES by compound.

    Args:
        path: ``.csv`` or ``.csv.gz`` with columns ``compound`` (as labels have it) and ``smiles``.

    Raises:
        BenchError: Not such a table, or a compound with several.
    """
    table = read_csv(path, dtype=str, keep_default_na=False)
    named = {str(column).strip().lower(): column for column in table.columns}
    if absent := [name for name in ("compound", "smiles") if name not in named]:
        raise BenchError(
            f"{path}: no column '{absent[0]}' (columns: {shorten([*map(str, table.columns)], 5)}). "
            f"A table of SMILES has columns compound and smiles."
        )
    found: dict[str, str] = {}
    for compound, smiles in zip(table[named["compound"]], table[named["smiles"]], strict=True):
        name, smiles = compound.strip().replace("+", INNER_PLUS), smiles.strip()
        if smiles and found.setdefault(name, smiles) != smiles:
            raise BenchError(f"{path}: compound '{compound}' has several SMILES ({found[name]}, {smiles}). Keep one.")
    return found


def morgan(
    smiles: Mapping[str, str], source: str, radius: int = RADIUS, bits: int = BITS
) -> tuple[FeatureBank, dict[str, str]]:
    """Compute Morgan fingerprints.

    Args:
        smiles: SMILES by compound.
        source: Where they come from, for people.
        radius: Bonds around an atom that are looked at; 2 is also called ECFP4.
        bits: Length of the fingerprint.

    Returns:
        The features ``[N, bits]``, 0 or 1, of the compounds whose SMILES can be read; and the SMILES of the others.

    Raises:
        BenchError: rdkit is not installed, or no SMILES can be read.

    Source: Rogers and Hahn 2010, doi:10.1021/ci100050t, as rdkit computes them.
    """
    rows: dict[str, Any] = {}
    invalid: dict[str, str] = {}
    block, parse, generator = _rdkit(radius, bits)
    with block():  # rdkit writes what it cannot read to standard error
        for compound, text in sorted(smiles.items()):
            molecule = parse(text) if len(text) <= LONGEST else None
            if molecule is None or not molecule.GetNumAtoms():
                invalid[compound] = text
            else:
                rows[compound] = generator.GetFingerprintAsNumPy(molecule)
    notes = [f"Morgan fingerprints of radius {radius}, {bits} bits"]
    if invalid:
        notes.append(named_invalid(invalid))
    if not rows:
        reason = named_invalid(invalid) if invalid else "no compound has any"
        raise BenchError(f"{source}: no SMILES that can be read: {reason}.")
    values = np.array(list(rows.values()), dtype=np.float32)
    return FeatureBank(NAME, tuple(rows), values, source, tuple(notes)), invalid


def named_invalid(invalid: Mapping[str, str]) -> str:
    """Say which SMILES cannot be read."""
    shown = shorten([f"'{written(name)}' ({text[:40]})" for name, text in invalid.items()], 5)
    return f"{len(invalid)} compounds have SMILES that cannot be read, and so no features: {shown}"


def _rdkit(radius: int, bits: int) -> tuple[Any, Any, Any]:
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdFingerprintGenerator
    except ImportError as error:
        raise BenchError(
            "features 'fingerprints' need rdkit, which is not installed: pip install 'perturb-ssl-bench[chemistry]', "
            "or pip install rdkit. Other features need none: --features FILE.csv."
        ) from error
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    return rdBase.BlockLogs, Chem.MolFromSmiles, generator
