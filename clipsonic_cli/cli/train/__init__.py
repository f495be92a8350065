"""``clipsonic train``."""
