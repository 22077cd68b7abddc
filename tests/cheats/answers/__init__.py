"""One file per cheat; see :mod:`cheats.registry`."""
