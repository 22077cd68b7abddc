"""``bench list``: what is registered."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cli.flags import Parser
from bench.core.errors import unknown
from bench.core.text import json_text


def show_list(argv: Sequence[str]) -> int:
    """``bench list``."""
    parser = Parser(prog="bench list", description="What is registered.")
    parser.add_argument("what", help="models, baselines, tracks, metrics or datasets")
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    rows: dict[str, str]
    if options.what in ("models", "baselines"):
        from bench.models import registry
        from bench.runner.model_choice import shipped_configs

        rows = {e.name: e.summary for e in registry.entries().values() if e.kind == options.what[:-1]}
        if options.what == "models":
            rows |= shipped_configs() | {name: f"of {registry.origin(name)}" for name in sorted(registry.plugins())}
    elif options.what == "tracks":
        from bench.tracks import registry as tracks

        rows = {track.name: f"bench {track.verb:<9} {track.question}" for track in tracks.tracks()}
    elif options.what == "metrics":
        from bench.tracks import registry as tracks

        rows = {
            metric.name: f"{track.verb:<8} {metric.family or '-':<9} better: {metric.better:<5} {metric.formula}"
            for track in sorted(tracks.tracks(), key=lambda track: bool(track.suffix))  # the plain boards first
            for metric in track.metrics.values()
        }
    elif options.what == "datasets":
        from bench.data import cards
        from bench.data.profiles import card as profiles

        rows = {name: cards.find_card(name).description for name in cards.names()}
        rows |= {name: f"profiles of wells: {profiles.find_card(name).description}" for name in profiles.names()}
    else:
        raise unknown("list", options.what, ("models", "baselines", "tracks", "metrics", "datasets"))
    if options.json:
        print(json_text(rows))
    else:
        width = max(map(len, rows), default=0)
        print("\n".join(f"{name:<{width}}  {text}" for name, text in rows.items()) or f"no {options.what} yet")
    return 0
