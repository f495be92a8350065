"""Options several commands share, with their help, and the defaults a person meets."""

from typing import Annotated, Any

import typer

from clipsonic_cli.config import DEFAULT_STEPS, DEVICES, DTYPES, PAPER_SAMPLING, VOCODERS
from clipsonic_cli.data import READERS
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.modes import DEFAULT_MODE, MODES

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"sampler": "dpmpp", "steps": 8},
    "paper": {name: PAPER_SAMPLING[name] for name in ("sampler", "steps")},
}
"""Recipe fields of ``--preset``."""

MODE_HELP = (
    "How the query reaches the U-Net: "
    + "; ".join(f"{mode.name}: {mode.title} ({mode.query})" for mode in MODES.values())
    + f". Default: {DEFAULT_MODE['text']} for text, {DEFAULT_MODE['image']} for images."
)
STEPS_HELP = "Steps of the sampler, 1 to 4000. Default: " + ", ".join(
    f"{DEFAULT_STEPS[name]} for {name}" for name in SAMPLERS
)
PRESET_HELP = "; ".join(
    f"{name}: {preset['sampler']} in {preset['steps']} steps" for name, preset in PRESETS.items()
)

QUERY = "What to sound"
HOW = "How"
DATA = "Data"
OUTPUT = "Output"
RUN = "Run"


def number(text: str | float) -> float:
    """Reads a number; the range is the recipe's to check."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a number.") from None


def whole(text: str | int) -> int:
    """Reads a whole number; the range is the recipe's to check."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a whole number.") from None


def given(**choices: Any) -> dict[str, Any]:
    """Gives the choices a person made, without those left open (None)."""
    return {name: value for name, value in choices.items() if value is not None}


Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        "-m",
        metavar="MODE",
        help=MODE_HELP,
        autocompletion=lambda: list(MODES),
        rich_help_panel=HOW,
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help=f"{', '.join(SAMPLERS)}. Default: dpmpp.",
        autocompletion=lambda: list(SAMPLERS),
        rich_help_panel=HOW,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", metavar="N", parser=whole, help=STEPS_HELP, rich_help_panel=HOW),
]
Vocoder = Annotated[
    str | None,
    typer.Option(
        "--vocoder",
        metavar="NAME",
        help=f"{', '.join(VOCODERS)}. Default: what scored better when the model was made; where "
        "nothing was scored, bigvgan if the model has one.",
        autocompletion=lambda: list(VOCODERS),
        rich_help_panel=HOW,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"Of the data: {', '.join(READERS)}. Default: found.",
        autocompletion=lambda: list(READERS),
        rich_help_panel=DATA,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        parser=whole,
        help="Processes that decode. Default: one a core.",
        rich_help_panel=DATA,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Name or folder of a model. Default: mini, which is built in.",
        rich_help_panel=RUN,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help=f"{', '.join(DEVICES)}. Default: auto.",
        autocompletion=lambda: list(DEVICES),
        rich_help_panel=RUN,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help=f"Precision of the U-Net: {', '.join(DTYPES)}. Default: auto.",
        autocompletion=lambda: list(DTYPES),
        rich_help_panel=RUN,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say nothing but results and errors.", rich_help_panel=RUN),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON object a line on standard output.", rich_help_panel=RUN),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traceback of an error; also CLIPSONIC_DEBUG=1.",
        rich_help_panel=RUN,
    ),
]
