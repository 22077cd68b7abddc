"""How every learned stage is trained, watched and stopped; the same code for all objectives."""
