"""``clipsonic generate``."""
