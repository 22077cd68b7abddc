"""What models share in learning: actions, training, choice of settings, embedded cells, and what is watched."""
