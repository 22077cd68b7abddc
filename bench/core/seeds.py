"""Seeds as people write them."""

from __future__ import annotations

import re

from bench.core.errors import BenchError

#: Seeds that are read at once.
MOST = 1000


def seeds(text: str) -> list[int]:
    """Read ``3``, ``1-3`` or ``1,2,5``.

    Example:
        >>> seeds("1-3"), seeds("1,4")
        ([1, 2, 3], [1, 4])

    Raises:
        BenchError: Anything else, or more than :data:`MOST`.
    """
    found: list[int] = []
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    for part in text.split(",", MOST + 1):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip())
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise BenchError(
                f"seed '{shown}': expected a number (1), a range (1-3) or a list (1,2,5), of at most 10 digits each."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if len(found) + last - first + 1 > MOST:
            raise BenchError(
                f"seed '{shown}': more than {MOST:,} seeds, each of which is a run. Give fewer at once, such as 1-3."
            )
        found += range(first, last + 1)
    return list(dict.fromkeys(found))
