"""The track that asks which intervention leads to a state: candidates are ranked by their predicted outcomes.

No torch: predictions enter as arrays. Sources: the published evaluations of BioJEPAC (retrieval of the perturbation
that made a cell) and BioJEPA-AC (planning), with the defects found in them repaired; see ``docs/planning.md``.
"""
