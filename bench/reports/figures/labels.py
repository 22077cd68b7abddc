"""Where the names of points go in a picture, so that none lies on another name or on a point that matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.typing import Floats

#: Width of a letter in sizes of the font: of capitals and digits, of which names of genes consist.
_LETTER = 0.64
#: Room between a point and its name, and between two names, in pixels.
_ROOM = 4.0
#: Size of a dot in pixels, and what a pixel of it that is covered counts in pixels of distance.
_DOT, _SOFT = 2.0, 0.1
#: What it counts that a name is nearer to another point than to its own.
_MISTAKEN = 60.0
#: How far from its point a name may go, in pixels.
_FARTHEST = 160.0


def size_of(name: str, font: float) -> tuple[float, float]:
    """Width and height of a name in pixels, rather too large than too small.

    Args:
        name: One line.
        font: Its size in pixels.
    """
    return max(len(name), 1) * _LETTER * font, 1.2 * font


def place(
    points: Floats, sizes: Floats, spots: Floats, radius: float, area: tuple[float, float], dots: Floats | None = None
) -> Floats:
    """Put each name next to its point, in their order: where it covers no other name and no spot, then near and free.

    Args:
        points: Pixels of the named points ``[n, 2]``.
        sizes: Width and height of their names ``[n, 2]``.
        spots: Points that no name may cover ``[m, 2]``.
        radius: Their size.
        area: Width and height of the picture, which no name leaves.
        dots: Points that a name had better not cover ``[k, 2]``.

    Returns:
        Centres of the names ``[n, 2]``. Where no place within reach is free, the one that covers least.
    """
    centres = np.zeros((len(points), 2))
    for i, (point, size) in enumerate(zip(points, sizes)):
        tries = np.array(_around(point, size, radius))
        half = size / 2
        inside = ((tries >= half) & (tries <= np.array(area) - half)).all(axis=1)
        covered = _overlap(tries, half, spots, np.full(2, radius))
        for j in range(i):
            covered += _overlap(tries, half, centres[j : j + 1], sizes[j] / 2 + _ROOM / 2)
        soft = 0.0 if dots is None else _SOFT * _overlap(tries, half, dots, np.full(2, _DOT))
        # A name outside the picture is worse than one that covers another, and both than any that is far or on dots.
        hard = np.where(inside, 0.0, 1e12) + 1e6 * covered
        centres[i] = tries[int(np.argmin(hard + soft + _strayed(tries, half, point, spots)))]
    return centres


def tie(points: Floats, centres: Floats, sizes: Floats) -> Floats:
    """Where a line from each point meets the edge of its name ``[n, 2]``; arguments as of :func:`place`."""
    return np.clip(points, centres - sizes / 2, centres + sizes / 2)


def _around(point: Floats, size: Floats, radius: float) -> Sequence[Floats]:
    """Centres of a name around its point, the nearest first: right, left, above, below, and between."""
    found = []
    for away in np.arange(radius + _ROOM, _FARTHEST, 3.0):
        for x, y in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
            found.append(point + np.array([x * (away + size[0] / 2), y * (away + size[1] / 2)]))
            if x and not y:  # beside it, and a little higher or lower
                found += [found[-1] + np.array([0.0, lift * size[1]]) for lift in (-0.6, 0.6)]
    return found


def _strayed(centres: Floats, half: Floats, point: Floats, spots: Floats) -> Floats:
    """How far a name is from its point, and more where it seems to be the name of another ``[tries]``."""
    to = np.maximum(np.abs(centres[:, None, :] - np.concatenate([point[None], spots])[None]) - half, 0.0)
    apart = np.linalg.norm(to, axis=2)
    return np.asarray(apart[:, 0] + _MISTAKEN * (apart[:, 1:].min(axis=1) < apart[:, 0] - 0.5))


def _overlap(centres: Floats, half: Floats, others: Floats, other_half: Floats) -> Floats:
    """Area that boxes of one size share with others, summed over these ``[tries]``."""
    apart = np.abs(centres[:, None, :] - others[None, :, :])
    shared = np.maximum(half + other_half - apart, 0.0)
    return np.asarray(shared.prod(axis=2).sum(axis=1))
