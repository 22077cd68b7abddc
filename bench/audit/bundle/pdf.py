"""Charts as PDF, the same bytes every time."""

from __future__ import annotations

import re
from typing import Any

from bench.core.errors import BenchError

#: A dictionary of a page's resources: what vl-convert writes in another order each time.
_RESOURCES = re.compile(rb"(/(?:XObject|ExtGState|Pattern|Shading|ColorSpace) <<\n)((?:\s+/\w+ \d+ 0 R\n)+)")
_FONT = re.compile(rb"/BaseFont /(\S+)")


def render_pdf(chart: Any) -> bytes:
    """Make a chart's PDF. It carries no date; its dictionaries are sorted, which moves no byte that others point at.

    Raises:
        BenchError: A chart with several faces of a font, whose numbers in the file are drawn by lot.
    """
    from bench.reports.figures.style import render

    made: bytes = render(chart, ("pdf",))["pdf"]
    if len(faces := set(_FONT.findall(made))) > 1:
        raise BenchError(f"a figure has {len(faces)} faces of a font; its PDF would differ from run to run. Use one.")
    return _RESOURCES.sub(lambda match: match[1] + b"".join(sorted(match[2].splitlines(keepends=True))), made)


def one_face(chart: Any) -> Any:
    """Give a chart the common look with one face of one font."""
    from bench.reports.figures.style import FONT

    plain = {"titleFontWeight": "normal", "labelFontWeight": "normal"}
    return (
        chart.configure(font=FONT, background="white", padding=14)
        .configure_title(fontSize=15, fontWeight="normal", subtitleFontSize=12, anchor="start", offset=10)
        .configure_axis(labelFontSize=12, titleFontSize=12, labelLimit=0, titleLimit=0, gridColor="#ebebeb", **plain)
        .configure_header(labelFontSize=13, titleFontSize=13, labelLimit=0, **plain)
        .configure_legend(labelFontSize=12, titleFontSize=12, labelLimit=0, orient="bottom", titleFontWeight="normal")
        .configure_view(stroke="#cccccc")
    )
