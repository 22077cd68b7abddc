"""What the test conditions really did, measured once per task: :mod:`bench.tracks.response.truth.truth`."""
