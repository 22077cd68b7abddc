"""How figures look, and how they become files. Colours: Okabe and Ito 2008, safe for colour-blind readers."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.core.files import atomic
from bench.core.text import escaped

FORMATS = ("pdf", "svg", "png")
BLACK, GREY = "#000000", "#6b6b6b"
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW = "#E69F00", "#56B4E9", "#F0E442"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, BLACK, YELLOW)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "stroke")
#: Vega expression that breaks a name where :func:`bench.reports.figures.data.printed` did.
LINES = r"split(datum.label, '\n')"
#: Of an axis: the first of two lines above its tick and the second below, one line at its tick.
BETWEEN: dict[str, Any] = {
    "labelBaseline": {"condition": {"test": r"indexof(datum.label, '\n') >= 0", "value": "bottom"}, "value": "middle"}
}
#: One family that vl-convert carries with it, so that a figure is the same on every machine.
FONT = "Liberation Sans, Arial, sans-serif"


class Headed(Protocol):
    """What stands above a figure."""

    @property
    def heading(self) -> str:
        """Data, split, seeds and how much it is made of."""
        ...

    @property
    def smoke(self) -> bool:
        """Whether the data can carry no claim."""
        ...


def columns(n: int) -> int:
    """Panels per row for ``n`` panels: at most 5, without a nearly empty last row.

    Example:
        >>> [columns(n) for n in (1, 3, 4, 5, 6, 7, 20)]
        [1, 3, 4, 5, 3, 4, 5]
    """
    return min(range(min(n, 5), min(n, 3) - 1, -1), key=lambda c: -n % c)


def finish(chart: Any, found: Headed, title: str, read: str, width: int) -> Any:
    """Give a chart its title, what to read, what to distrust, and the common look.

    Args:
        chart: The chart.
        found: What it was made of.
        title: What is shown.
        read: What to look at.
        width: Of the chart in pixels, to wrap the text to.
    """
    smoke = ["Smoke data: a trial of the plumbing, too few conditions for any claim."] if found.smoke else []
    return titled(chart, (title, found.heading), (read, *smoke), width)


def titled(chart: Any, title: Sequence[str], read: Sequence[str], width: int) -> Any:
    """Give a chart the lines of its title, smaller ones below, and the common look.

    Args:
        chart: The chart.
        title: What is shown, then of what.
        read: What to look at, then what to distrust.
        width: Of the chart in pixels, to wrap the text to.
    """
    import altair as alt

    fits = max(int(width / 5.9), 80)
    small = [line for text in read for line in textwrap.wrap(text, fits)]
    head = [title[0], *(line for text in title[1:] for line in textwrap.wrap(text, fits))]
    return (
        chart.properties(
            title=alt.TitleParams(head, subtitle=small, anchor="start"),
            padding=12,
            background="white",
        )
        .configure(font=FONT)
        .configure_title(fontSize=15, subtitleFontSize=12, subtitleColor="#333333", subtitlePadding=5, offset=14)
        .configure_axis(
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            labelLimit=0,
            titleLimit=0,
            labelFlush=False,
            gridColor="#ebebeb",
        )
        .configure_header(labelFontSize=12, labelFontWeight="bold", labelLimit=0, titleFontSize=13)
        .configure_legend(labelFontSize=12, titleFontSize=12, labelLimit=0, orient="bottom", symbolOpacity=1)
        .configure_view(stroke="#cccccc")
    )


def render(chart: Any, formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Make a chart's files, in memory: no browser, no network.

    Args:
        chart: The chart.
        formats: Some of :data:`FORMATS`.

    Returns:
        Content by format.
    """
    import altair as alt
    import vl_convert

    with alt.data_transformers.enable("default", max_rows=None):
        spec = _escaped(chart.to_dict())
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    svg = vl_convert.vegalite_to_svg(spec, vl_version=version)
    make: dict[str, Callable[[], bytes]] = {
        "pdf": lambda: vl_convert.svg_to_pdf(svg),
        "svg": lambda: svg.encode(),
        "png": lambda: vl_convert.svg_to_png(svg, scale=2.0),
    }
    return {name: make[name]() for name in formats}


def _escaped(part: Any) -> Any:
    """A chart's specification without controls in its texts, which end the process that draws them."""
    if isinstance(part, dict):
        return {escaped(str(key)): _escaped(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_escaped(value) for value in part]
    return escaped(part) if isinstance(part, str) else part


def write(path: Path, content: bytes) -> None:
    """Write one file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)
