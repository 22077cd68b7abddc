"""What the numbers of one run of known latents must have to do with each other and with its screen, whoever made it.

Of other runs than a row's first nothing is kept. But counts are whole, shares are of numbers of cells that the screen
says, and who correlates with a true latent can be read from linearly.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.known import Screen

Floats = NDArray[np.float64]
#: Numbers that every row has; that rows with two blocks have, if the screen has latents that nothing moves; and others.
_CORRELATIONS = ("mcc_within", "mcc_pooled", "mcc_within_spearman", "mcc_pooled_spearman")
ALWAYS = (*_CORRELATIONS, "width", "r2_v", "label_v", "mask_f1")
SPLIT, OTHERS = ("leak_v", "leak_i", "label_i"), ("r2_i", "shd", "double_error")
#: What adding in another order may leave of a number, which records keep whole.
ROUNDED = 1e-11
#: By how much a linear reading may be worse than one latent alone: where it was fitted there are other cells. In
#: latents that it reads from, over cells: about twice the largest of 1,181 records.
WORSE = 3.0
#: Steps in which a share of cells is looked for, at most: finer ones say nothing.
FINEST = 1e8


class Tied:
    """Facts of a screen that tie the numbers of its rows.

    Args:
        screen: The screen.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        code = screen.code[screen.held]
        judged, fitted = code[~screen.half], code[screen.half]
        #: Cells of each condition among those judged by.
        self.cells = np.unique(judged, return_counts=True)[1].astype(np.int64)
        self.least = min(len(judged), len(fitted))

    @cached_property
    def _masks(self) -> tuple[Floats, Floats] | None:
        """Every F1 that either half of the perturbations can have, sorted; ``None`` where they are not halved."""
        mask = self.screen.mask
        if len(mask) < 4:
            return None
        even = np.arange(len(mask)) % 2 == 0
        return _f1(mask[even]), _f1(mask[~even])

    def odd(self, numbers: Mapping[str, float | None]) -> str:
        """Say what of the numbers of a run cannot be (empty = nothing)."""
        if set(numbers) != {*ALWAYS, *SPLIT, *OTHERS}:
            return f"it has other numbers: {', '.join(sorted(set(numbers) ^ {*ALWAYS, *SPLIT, *OTHERS}))}"
        there = {name: value for name, value in numbers.items() if value is not None}
        background = self.screen.z_i.shape[1] > 0
        wanted = {**dict.fromkeys(ALWAYS, True), "r2_i": background, "double_error": len(self.screen.pairs) > 0}
        split = "leak_v" in there
        wanted |= dict.fromkeys(SPLIT, split and background)
        for name, has in wanted.items():
            if has != (name in there):
                return f"{name} has {'no' if has else 'a'} value, and this screen and its other numbers say otherwise"
        return self._counts(there) or self._readings(there)

    def _counts(self, there: Mapping[str, float]) -> str:
        """Numbers that are counts, or made of them."""
        d, width = self.screen.z_v.shape[1], there["width"]
        if not (width == int(width) and 1 <= width <= self.screen.width):
            return f"width is {width:g}, and there are {self.screen.width} true latents"
        if (shd := there.get("shd")) is not None and not (shd == int(shd) and 0 <= shd <= d * (d - 1) / 2):
            return f"shd is {shd:g}, and counts pairs of {d} latents"
        for name in ("label_v", "label_i"):
            if name in there and not self._is_share(there[name]):
                return f"{name} is {there[name]:.12g}, which is no share of the cells that are named"
        if self._masks is not None:
            one, other = self._masks
            rest = 2.0 * there["mask_f1"] - one
            at = np.searchsorted(other, rest)
            near = [np.abs(other[np.clip(at + k, 0, len(other) - 1)] - rest).min() for k in (-1, 0)]
            if min(near) > ROUNDED:
                return f"mask_f1 is {there['mask_f1']:.12g}, which no masks of these perturbations have"
        return ""

    def _is_share(self, skill: float) -> bool:
        """Whether a skill is one of a mean over conditions of shares of their cells."""
        n = len(self.cells)
        steps = float(n * np.lcm.reduce(self.cells))
        if steps > FINEST:
            return True
        named = (skill * (1.0 - 1.0 / n) + 1.0 / n) * steps
        return bool(abs(named - round(named)) <= max(ROUNDED * steps, 1e-6))

    def _readings(self, there: Mapping[str, float]) -> str:
        """A correlation with a latent is one with a linear reading of it."""
        d, pooled = self.screen.z_v.shape[1], there["mcc_pooled"]
        for name in _CORRELATIONS:
            if abs(there[name]) > min(there["width"], d) / d + ROUNDED:
                return f"{name} is {there[name]:.4g}, with {there['width']:g} latents for {d}"
        # The mean of squares is at least the square of the mean.
        worse = WORSE * (there["width"] + 1.0) / self.least
        if pooled > 0 and pooled**2 > there["r2_v"] + worse:
            return (
                f"mcc_pooled is {pooled:.4g}, and a linear reading of these latents explains {there['r2_v']:.4g} only"
            )
        return ""


def _f1(true: NDArray[np.bool_]) -> Floats:
    """Every F1 that masks can have beside true ones, sorted."""
    on, size = int(true.sum()), true.size
    if not on:
        return np.array([0.0, 1.0])
    hits, more = np.meshgrid(np.arange(on + 1), np.arange(size - on + 1))
    return np.unique(2.0 * hits / (on + hits + more))
