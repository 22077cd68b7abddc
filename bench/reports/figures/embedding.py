"""Picture of an encoder's latents of val cells: two principal components, the largest conditions in colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.figures.style import PALETTE

#: Conditions in colour; more could not be told apart.
COLOURED = len(PALETTE)
OTHERS = "others"


def table(latents: NDArray[Any], condition: Sequence[str]) -> pd.DataFrame:
    """Project latents on their two leading principal components.

    Args:
        latents: ``[N, D]``.
        condition: Condition of each cell.

    Returns:
        ``x``, ``y``, ``condition`` (the names of all but the largest few replaced); per row one cell. The share of
        variance of both components is in ``attrs["share"]``.
    """
    z = np.asarray(latents, dtype=np.float64)
    sd = z.std(axis=0)
    z = (z - z.mean(axis=0)) / np.where(sd > 0, sd, 1)
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    xy = np.zeros((len(z), 2))
    k = min(2, len(s))
    xy[:, :k] = u[:, :k] * s[:k]
    names = pd.Series(list(condition))
    largest = (
        names.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable").index[:COLOURED]
    )
    frame = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "condition": names.where(names.isin(largest), OTHERS)})
    total = float((s**2).sum())
    frame.attrs["share"] = [float(value) for value in (s[:2] ** 2 / total if total > 0 else s[:2] * 0)]
    return frame


def chart(drawn: pd.DataFrame, title: str) -> Any:
    """Draw the cells, those of other conditions in grey below."""
    import altair as alt

    share = [*drawn.attrs["share"], 0.0, 0.0]
    names = sorted(set(drawn["condition"]) - {OTHERS})
    colour = alt.Color(
        "condition:N", scale=alt.Scale(domain=names, range=list(PALETTE[: len(names)])), title="val condition"
    )
    axes = {
        "x": alt.X("x:Q", title=f"component 1 ({share[0]:.0%} of variance)"),
        "y": alt.Y("y:Q", title=f"component 2 ({share[1]:.0%})"),
    }
    grey = drawn[drawn["condition"] == OTHERS]
    bright = drawn[drawn["condition"] != OTHERS]
    below = alt.Chart(grey).mark_circle(size=10, color="#c8c8c8", opacity=0.5).encode(**axes)
    above = alt.Chart(bright).mark_circle(size=18, opacity=0.8).encode(color=colour, **axes)
    return (below + above).properties(width=420, height=420, title=title, padding=12, background="white")
