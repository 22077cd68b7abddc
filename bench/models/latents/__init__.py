"""Models as makers of latents: what each says of held-out cells, for the track ``identifiability``."""
