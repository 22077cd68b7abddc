"""The one door through which files come in: of users, of other tools, of a download.

Whatever a file holds, reading it here ends, within bounds of size, depth and time, in its content or in one
:class:`~bench.core.errors.BenchError`. A file per format: :mod:`.documents` (YAML, JSON), :mod:`.tables` (CSV,
parquet), :mod:`.arrays` (npz), :mod:`.hdf5`, :mod:`.pickles`. How large is too large: :mod:`.limits`.
"""
