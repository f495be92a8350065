"""``clipsonic info``."""
