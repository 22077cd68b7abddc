"""Seeds as people write them."""

from __future__ import annotations

import re

from bench.core.errors import BenchError


def seeds(text: str) -> list[int]:
    """Read ``3``, ``1-3`` or ``1,2,5``.

    Example:
        >>> seeds("1-3"), seeds("1,4")
        ([1, 2, 3], [1, 4])

    Raises:
        BenchError: Anything else.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise BenchError(f"seed '{text}': expected a number (1), a range (1-3) or a list (1,2,5).")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))
