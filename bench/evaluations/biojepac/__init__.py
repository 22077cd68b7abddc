"""The eight evaluations of BioJEPAC: how they were printed, how they ought to be asked, and what is had for nothing.

Source of the published forms: BioJEPAC technical report v0.4 and its evaluation notebooks. A file per evaluation holds
both forms as pure functions; :mod:`bench.evaluations.biojepac.suite` puts them in one table.
"""
