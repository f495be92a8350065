"""``clipsonic download``."""
