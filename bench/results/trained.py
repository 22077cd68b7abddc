"""How an encoder, or latents, were made: what their records say of it."""

from __future__ import annotations

from typing import NamedTuple

from bench.results.records import Budget


class Trained(NamedTuple):
    """What is known of how something was made.

    Attributes:
        budget: What it cost.
        selection: How its settings and its step were chosen.
        warnings: What a reader should know before believing it.
    """

    budget: Budget = Budget()
    selection: str | None = None
    warnings: tuple[str, ...] = ()


UNTRAINED = Trained()
