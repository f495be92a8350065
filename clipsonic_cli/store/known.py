"""Which sounds a model knows, by the headers of its parts. Imports no torch."""

from clipsonic_cli.store.bundle import MAX_LABELS, Header, labels_of

KNOWN, KNOWN_BY = "known", "known_by"
"""In the meta of statistics: names of the vectors ``known``, and whether these are "labels" of the
data or "nouns" that CLIP finds most like its frames."""


def vector_names(statistics: Header | None) -> list[str]:
    """Return the names of the vectors ``known`` of statistics; none in parts that have none."""
    names = None if statistics is None else statistics.meta.get(KNOWN)
    if not isinstance(names, list):
        return []
    return [name for name in names if isinstance(name, str)][:MAX_LABELS]


def known_labels(unet: Header | None, statistics: Header | None) -> list[str]:
    """Return the labels that a U-Net was trained on, as far as files list them."""
    if statistics is not None and statistics.meta.get(KNOWN_BY) == "labels":
        return vector_names(statistics)
    return [] if unet is None else labels_of(unet)


def known_nouns(statistics: Header | None) -> list[str]:
    """Return the nouns that the frames of a data set without labels are most like."""
    if statistics is None or statistics.meta.get(KNOWN_BY) != "nouns":
        return []
    return vector_names(statistics)
