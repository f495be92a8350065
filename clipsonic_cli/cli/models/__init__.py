"""``clipsonic models``."""
