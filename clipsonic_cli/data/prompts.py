"""Prompts made of labels, for text encoders."""

from clipsonic_cli.types import Space


def prompt(label: str, space: Space) -> str:
    """Return "a photo of LABEL" for CLIP's spaces, "the sound of LABEL" for CLAP's.

    Underscores and commas of the label become spaces. Source: CLIPSonic section 3, "Data" and
    "Baseline models"; the commas as in CLIPSep (Dong et al. 2023).
    """
    words = " ".join(label.replace("_", " ").replace(", ", " ").split())
    return f"the sound of {words}" if space == "clap-text" else f"a photo of {words}"
