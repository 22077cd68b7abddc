"""A second implementation of what decides a row: truth, metrics and the file of kept predictions, in plain numpy.

It shares no code with the first one (`bench.tracks`, `bench.stats`, `bench.results`): an error would have to be made
twice. Arrays in, arrays out; who the units are is said by the caller. Formulas: `bench explain METRIC`.
"""
