"""Screens whose cells are drawn from known latents: what a perturbation moves, and what it leaves alone."""
