"""The bundle: what the committed boards show, with everything that is needed to check it, in one folder.

``build`` writes it. :mod:`bench.audit.assert_bundle`, which shares no code with it, accepts or refuses it.
"""
