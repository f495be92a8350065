"""Labels as the pseudo texts that text encoders were used with."""

from clipsonic_cli.types import Space


def prompt(label: str, space: Space) -> str:
    """Gives the text that stands for a label.

    Args:
        label: In the data set's words; underscores and commas become blanks.
        space: Whose text encoder reads it.

    Returns:
        "a photo of LABEL" for CLIP's spaces, "the sound of LABEL" for CLAP's.

    Source: CLIPSonic section 3, "Data" and "Baseline models"; the commas as in CLIPSep (Dong et al.
        2023).
    """
    words = " ".join(label.replace("_", " ").replace(", ", " ").split())
    return f"the sound of {words}" if space == "clap-text" else f"a photo of {words}"
