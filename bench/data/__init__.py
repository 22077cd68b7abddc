"""From a file of cells to the split, paired batches that a model may see."""
