"""Statistics of cells and of conditions as pure functions of arrays: they know no task, no model and no file."""
