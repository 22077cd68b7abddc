"""Records, boards, skill and claims: one schema and one writer for all tracks."""
