"""Records -> boards: rows, skill, shared ranks, CSVs and what people read."""
