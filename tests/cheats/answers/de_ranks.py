"""The mean of the train units' signed DE ranks."""

from cheats.registry import Cheat

CHEATS = (
    Cheat("mean signed DE ranks", lambda data: data.moved(data.sized(data.de_ranks.mean(axis=0)))),
    Cheat(
        "mean signed DE ranks by number",
        lambda data: data.moved(data.sized(data.by_number(lambda rows: data.de_ranks[rows].mean(axis=0)))),
    ),
)
