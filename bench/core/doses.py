"""Doses and times: amounts as people write them, in micromolar and hours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

#: Micromolar by unit, in small letters but for the molar itself, whose small letter is a metre's.
MOLAR: Mapping[str, float] = {"pm": 1e-6, "nm": 1e-3, "um": 1.0, "mm": 1e3, "M": 1e6}
#: Hours by unit.
HOURS: Mapping[str, float] = {
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 1 / 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 1.0),
    **dict.fromkeys(("d", "day", "days"), 24.0),
}
#: How the units are called in messages.
MOLAR_NAMES, HOURS_NAMES = "pM, nM, uM, mM, M", "min, h, d"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_AMOUNT = re.compile(rf"({_NUMBER})\s*([^\W\d_]*)")
_TREATMENT = re.compile(rf"({_NUMBER}\s*[^\W\d_]+)(?:[\s,]+({_NUMBER}\s*[^\W\d_]+))?")


class Treatment(NamedTuple):
    """How much of a compound for how long; what does not differ within a screen is left out.

    Attributes:
        dose: Micromolar.
        time: Hours.
    """

    dose: float | None = None
    time: float | None = None

    def text(self) -> str:
        """Write it for people and as a part of names, with six significant digits.

        Example:
            >>> Treatment(0.1, 24).text(), Treatment(time=6).text(), Treatment().text()
            ('0.1 uM 24 h', '6 h', '')
        """
        dose = "" if self.dose is None else f"{self.dose:g} uM"
        time = "" if self.time is None else f"{self.time:g} h"
        return " ".join(filter(None, (dose, time)))  # no comma: lists of names are separated by it

    def distance(self, other: Treatment) -> float:
        """Say how far two treatments are apart: sum of the absolute logs of their ratios; infinite if one lacks a part.

        Example:
            >>> round(Treatment(1.0).distance(Treatment(10.0)), 3), Treatment(1.0).distance(Treatment())
            (2.303, inf)
        """
        far = 0.0
        for mine, others in zip(self, other, strict=True):
            if (mine is None) != (others is None):
                return math.inf
            if mine is not None and others is not None:
                far += abs(math.log(mine / others))
        return far


def unit_of(word: str, units: Mapping[str, float]) -> float | None:
    """Size of a unit; a Greek mu or a micro sign is a u, and case matters for the molar alone.

    Example:
        >>> unit_of("µM", MOLAR), unit_of("nm", MOLAR), unit_of("M", MOLAR), unit_of("m", MOLAR), unit_of("hr", HOURS)
        (1.0, 0.001, 1000000.0, None, 1.0)
    """
    plain = word.strip().replace("\u00b5", "u").replace("\u03bc", "u")
    return units.get(plain, units.get(plain.lower()))


def amount(text: str, units: Mapping[str, float], default: str) -> float | None:
    """Read an amount; the unit that stands beside the number comes before the default.

    Args:
        text: A number with or without a unit.
        units: :data:`MOLAR` or :data:`HOURS`.
        default: Unit of a number without one.

    Returns:
        In micromolar, or in hours; None = it is no amount above 0.

    Example:
        >>> amount("100 nM", MOLAR, "uM"), amount("5", MOLAR, "mM"), amount("24hr", HOURS, "h"), amount("0", HOURS, "h")
        (0.1, 5000.0, 24.0, None)
    """
    match = _AMOUNT.fullmatch(text.strip())
    size = unit_of(match[2] or default, units) if match else None
    if match is None or size is None:
        return None
    value = float(match[1]) * size
    # Six digits tell doses apart; what is left beyond them comes from the change of units.
    return float(f"{value:.6g}") if math.isfinite(value) and value > 0 else None


def read_treatment(text: str) -> Treatment | None:
    """Read what :meth:`Treatment.text` writes, in any unit; None = it is none.

    Example:
        >>> read_treatment("100 nM 1 d"), read_treatment("6 h"), read_treatment("home"), read_treatment("5")
        (Treatment(dose=0.1, time=24.0), Treatment(dose=None, time=6.0), None, None)
    """
    match = _TREATMENT.fullmatch(text.strip())
    if match is None:
        return None
    dose, time = amount(match[1], MOLAR, ""), amount(match[2] or "", HOURS, "")
    if match[2]:
        return None if dose is None or time is None else Treatment(dose, time)
    time = amount(match[1], HOURS, "") if dose is None else None
    return None if dose is None and time is None else Treatment(dose, time)
