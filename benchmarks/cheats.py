"""Print what every cheat earns on every kind of data: ``python benchmarks/cheats.py [--boards generated singles]``.

Skill with its 95% interval, then the families; ``!`` marks a cheat that breaks its bound (``tests/cheats``).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]


def main() -> None:
    from cheats.boards import BOARDS, ready
    from cheats.registry import cheats
    from cheats.table import REFERENCES, scores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", nargs="*", default=list(BOARDS), choices=list(BOARDS))
    for name in parser.parse_args().boards:
        start = time.process_time()
        made = ready(name)
        found = scores(made)
        references = {key: found[key] for key in REFERENCES}
        units = ", ".join(str(len(data.test)) for data in made.data)
        print(f"\n## {name} (test units {units}; model = {made.board.good}; {time.process_time() - start:.0f} s)")
        families = sorted({family for score in found.values() for family in score.families})
        print(
            "| row | skill | interval | "
            + " | ".join(families)
            + " | |\n|---|---|---|"
            + "---|" * len(families)
            + "---|"
        )
        for row, score in found.items():
            said = cheats()[row].bound(score, references) if row in cheats() else ""
            own = " | ".join(f"{score.families[f]:.2f}" if f in score.families else "-" for f in families)
            interval = f"{score.skill:.3f} | [{score.low:.2f}, {score.high:.2f}]"
            print(f"| {row} | {interval} | {own} | {'! ' + said if said else ''} |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("WANDB_MODE", "offline")
    main()
