"""Self-supervised objectives, one file each, and a supervised encoder beside them."""
