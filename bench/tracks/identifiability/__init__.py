"""The track that asks whether a model's latents are the true ones, on cells that were drawn from known latents.

No torch: latents enter as arrays. Read ``score.py`` first; ``match.py``, ``blocks.py`` and ``structure.py`` hold its
formulas, :mod:`bench.data.known_latents` says which cells are learned from, matched on and judged, ``references.py``
what stands beside models, ``claim.py`` how seeds become an interval, ``assumptions.py`` what any data set shows of the
theory's assumptions. See ``docs/identifiability.md``.
"""
