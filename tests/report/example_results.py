"""Results of two systems at three w, a reconstruction and queries, for tests of reports."""

from pathlib import Path

import torch
from PIL import Image

from clipsonic_cli.audio import files
from clipsonic_cli.evaluation.results import Results, Sample, ScoreRow
from clipsonic_cli.types import Score

HOSTILE = '</h3><script>x</script><b onclick="x">rain</b> & {{title}} <img src=x> \u2028 小提琴'
NOTE = "fewer windows than dimensions"
WS = (1.0, 1.5, 3.0)
SECONDS = 0.5


def score(metric: str, value: float, *, paper: bool = False, **more) -> Score:
    return Score(
        metric=metric,
        value=value,
        better="lower" if metric == "fad" else "higher",
        n=16,
        rows=64,
        against=64,
        backbone="mini",
        as_paper=paper,
        interval=(value * 0.9, value * 1.2),
        **more,
    )


def results(folder: Path | None = None, *, queries: int = 3, paper: bool = False) -> Results:
    rows = [
        ScoreRow(
            system=system,
            guidance=w,
            scores=(
                score("fad", start + w / 7, paper=paper, bias=0.125, notes=(NOTE,)),
                score("clap", 0.2 + w / 30 - start / 50, paper=paper),
            ),
            outliers={HOSTILE: 3.0},
        )
        for system, start in (("zs", 3.0), ("pd", 2.5))
        for w in WS
    ]
    level = (score("fad", 0.6, paper=paper), score("clap", 0.21, paper=paper))
    rows.append(ScoreRow(system="reconstruction", scores=level))
    rows.append(ScoreRow(system="pd", scores=(score("similarity", 0.65, paper=True),)))
    return Results(
        name="mini & <co>",
        settings={"model": "mini", "reference": "16 sounds of <truth>", "guidance": list(WS)},
        rows=tuple(rows),
        samples=() if folder is None else tuple(_sample(folder, n) for n in range(queries)),
        notes=("mode <sd> is left out",),
    )


def _sample(folder: Path, number: int) -> Sample:
    image = folder / f"{number}.png"
    Image.new("RGB", (1000, 500), "orange").save(image)
    paths = {}
    for place, system in enumerate(("zs w=1.5", "pd w=1.5", "reconstruction", "truth")):
        paths[system] = folder / f"{number}-{place}.wav"
        generator = torch.Generator().manual_seed(10 * number + place)
        samples = torch.rand(int(16_000 * SECONDS), generator=generator) * 0.2 - 0.1
        files.write(paths[system], samples, 16_000)
    prompt = HOSTILE if number == 0 else None
    return Sample(name=f"query-{number}", prompt=prompt, image=image, paths=paths)
