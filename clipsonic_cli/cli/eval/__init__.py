"""``clipsonic eval``."""
