"""Step 3 of the embedded model: trains its U-Net, its prior, its bridge and its vocoders.

    python recipes/mini/train.py unet --out runs/mini --minutes 60 --warm-start mini
    python recipes/mini/train.py student --out runs/mini --steps 4000  # of the U-Net above
    python recipes/mini/train.py prior --out runs/mini --minutes 20
    python recipes/mini/train.py bridge --out runs/mini --steps 4000
    python recipes/mini/train.py bigvgan --out runs/mini --minutes 60
    python recipes/mini/train.py vocos --out runs/mini --minutes 60
    python recipes/mini/train.py vocos-critics --out runs/mini --minutes 30

and, for the modes that learn from texts, ``prior-sd``, ``unet-clip-text`` and ``unet-clap-text``
likewise. Of the three vocoders ``vocoders.py`` chooses one. With ``--warm-start`` a U-Net begins
with that of another model, whose CLIP reads pictures by the same tower.
Goes on where the last call stopped (``OUT/train/PART``) and writes ``OUT/model/PART.safetensors``
from the averaged weights at every checkpoint. A vocoder needs the sounds of step 1 only, the
others also the features of step 2. Two cores, no GPU.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from features import Features, read_features
from frame_statistics import training_vectors
from sounds import (
    SPEC,
    FrameVectors,
    LabelledSounds,
    PictureSounds,
    PlayedWaves,
    TitledPictures,
    Waves,
    read_sounds,
)
from steps import need, need_part
from torch import Tensor
from torch.nn.functional import normalize
from warm_start import begin_with

from clipsonic_cli.config import (
    BRIDGE_SIZES,
    STUDENT_SIZES,
    VOCODER_SIZES,
    VOCOS_SIZES,
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    StudentConfig,
    UNetConfig,
)
from clipsonic_cli.device import auto_dtype
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.encoders.bridge import BridgeEncoder
from clipsonic_cli.encoders.clap import load_clap
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.models.bigvgan import BigVGAN, fold_weight_norm
from clipsonic_cli.models.bridge import Bridge
from clipsonic_cli.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)
from clipsonic_cli.models.unet import UNet, begin_as_student
from clipsonic_cli.models.vocos import Vocos
from clipsonic_cli.preparation.statistics import FrameSums, embed_bank, measure
from clipsonic_cli.store import assets
from clipsonic_cli.store.bundle import Bundle, Header, load, write
from clipsonic_cli.trainer.batches import Dataset
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import BridgeObjective, PriorObjective, UNetObjective
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.trainer.progress import Progress
from clipsonic_cli.trainer.spectra import VocosObjective
from clipsonic_cli.trainer.student import (
    StudentObjective,
    calls_after,
    phases_of,
    student_process,
)
from clipsonic_cli.trainer.tracking import MetricsLog
from clipsonic_cli.trainer.vocoder import VocoderObjective
from clipsonic_cli.training.bridge import choose_entry
from clipsonic_cli.training.stages import PRIOR_PROCESS
from clipsonic_cli.types import Space

LICENCE = "CC-BY-SA-4.0"
SCALES = [  # of the vocoder's mel distance; many scales teach it faster than its own mel alone
    MelSpec(n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels)
    for n_fft, n_mels in ((256, 20), (512, 40), (1024, 64), (2048, 96))
]

dtype, _ = auto_dtype(torch.device("cpu"))
PRECISION: Literal["float32", "bfloat16"] = "bfloat16" if dtype == torch.bfloat16 else "float32"
VECTORS = TrainConfig(batch_size=128, warmup=200, ema_decay=0.999, clip_norm=1.0, log_every=50)
"""What the trainings of networks of vectors have in common."""
MELS = TrainConfig(
    lr=8e-4,
    warmup=200,
    ema_decay=0.999,
    clip_norm=1.0,
    precision=PRECISION,
    save_every=250,
    validate_every=250,
    log_every=25,
)
"""The U-Net's, of which the student's departs."""
WARM = replace(MELS, lr=4e-4, batch_size=16)
"""The U-Net's where it begins with another's weights: more steps in the same time."""
VOCODING = TrainConfig(
    betas=(0.8, 0.99), warmup=100, ema_decay=0.999, clip_norm=1000.0, log_every=25
)
"""And those of vocoders."""


@dataclass(frozen=True)
class Part:
    """What the training of a part needs; ``held_out`` is of the curve of its averaged weights."""

    objective: Objective
    dataset: Dataset
    config: TrainConfig
    header: Header
    held_out: Dataset | None = None


def unet(out: Path, *, space: Space = "clip-image", warm_start: str | None = None) -> Part:
    """Return what the U-Net's training needs, conditioned on pictures or on texts.

    ``warm_start`` names a model whose U-Net it begins with.
    """
    features = read_features(need(out, "features.pt", "clip.py"))
    sounds, others = read_sounds(out, "train"), read_sounds(out, "valid")
    if space == "clip-image":
        encoder, cond_dim = features.encoder, features.picture_embeds.shape[-1]
        dataset, held_out = (PictureSounds(each, features) for each in (sounds, others))
    else:
        encoder, embeds = text_embeds(space, features)
        cond_dim = embeds.shape[-1]
        dataset, held_out = (LabelledSounds(each, features, embeds) for each in (sounds, others))
    network = UNet(UNetConfig(channels=32, num_res_blocks=2, cond_dim=cond_dim))
    began: dict[str, Any] = {}
    if warm_start is not None:
        other = begin_with(warm_start, out)
        network.load_state_dict(other.weights)
        began["warm_start"] = {name: other.header.meta[name] for name in ("steps", "batch_size")}
    network.to(memory_format=torch.channels_last)
    process = DiffusionConfig(prediction="v")
    header = Header(
        kind="unet",
        config=network.config,
        mel=SPEC,
        diffusion=process,
        space=space,
        encoder=encoder,
        meta=began,
    )
    return Part(
        objective=UNetObjective(network, Process(process)),
        dataset=dataset,
        config=MELS if warm_start is None else WARM,
        header=header,
        held_out=held_out,
    )


def student(out: Path, steps: int) -> Part:
    """Return what the training of the U-Net's student needs, whose phases share out the steps."""
    features = read_features(need(out, "features.pt", "clip.py"))
    taught = load(need_part(out, "unet"), kind="unet")
    assert taught.header.diffusion is not None  # a U-Net's header has one
    process = taught.header.diffusion
    size = replace(STUDENT_SIZES["mini"], cond_dim=features.picture_embeds.shape[-1])
    network, teacher = UNet(size), UNet(size)
    network.load_state_dict(begin_as_student(network, taught.weights))
    for each in (network, teacher):
        each.to(memory_format=torch.channels_last)
    header = replace(taught.header, kind="student", config=size, diffusion=student_process(process))
    phases = phases_of(size.calls, steps)
    objective = StudentObjective(network, teacher, Process(process), phases=phases)
    config = replace(MELS, lr=3e-4, ema_decay=0.99)
    return Part(objective, PictureSounds(read_sounds(out, "train"), features), config, header)


def text_embeds(space: Space, features: Features) -> tuple[str, Tensor]:
    """Return the identity of an encoder, and its embedding of each label's prompt (labels, D).

    The small CLIP's are in the features; CLAP is the published one (``clipsonic download clap``).
    """
    if space == "clip-text":
        rows = [features.texts.index(f"a photo of {label}") for label in features.labels]
        return features.encoder, features.text_embeds[rows].float()
    path = assets.part_here("clap")
    if path is None:
        sys.exit("CLAP is not on this machine: clipsonic download clap")
    clap = load_clap(load(path, kind="clap"))
    return clap.identity, clap.embed_text([f"the sound of {label}" for label in features.labels])


def prior(out: Path, *, sources: Sequence[int] = (0, 1, 2)) -> Part:
    """Return what the prior's training needs, from all titled pictures or the labels' own."""
    from clipsonic_cli.models.prior import Prior  # dalle2-pytorch, which takes seconds

    features = read_features(need(out, "features.pt", "clip.py"))
    network = Prior(
        PriorConfig(
            dim=features.image_embeds.shape[1],
            text_dim=features.encodings.shape[1],
            depth=4,
            heads=4,
            max_text_len=32,
        )
    )
    header = Header(
        kind="prior",
        config=network.config,
        diffusion=PRIOR_PROCESS,
        space="clip-image",
        encoder=features.encoder,
    )
    config = replace(VECTORS, lr=5e-4, weight_decay=0.06, precision=PRECISION, save_every=500)
    dataset = TitledPictures(features, max_text_len=32, sources=sources)
    return Part(PriorObjective(network, Process(PRIOR_PROCESS)), dataset, config, header)


def bridge(out: Path) -> Part:
    """Return what the bridge's training needs: the vectors that the U-Net is trained on, alone."""
    features = read_features(need(out, "features.pt", "clip.py"))
    clip = load_clip(load(need_part(out, "clip"), kind="clip"))
    vectors = training_vectors(features)
    network = Bridge(replace(BRIDGE_SIZES["mini"], dim=clip.dim))
    measure(network, FrameSums(torch.Generator().manual_seed(0)).add(vectors), embed_bank(clip))
    header = Header(
        kind="bridge",
        config=network.config,
        diffusion=PRIOR_PROCESS,
        space="clip-image",
        encoder=features.encoder,
    )
    config = replace(VECTORS, lr=1e-3, save_every=1000)
    objective = BridgeObjective(network, Process(PRIOR_PROCESS))
    return Part(objective, FrameVectors(vectors), config, header)


def entry(out: Path, weights: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """Choose where texts enter the bridge, by the views of held-out pictures."""
    features = read_features(need(out, "features.pt", "clip.py"))
    clip = load_clip(load(need_part(out, "clip"), kind="clip"))
    network = Bridge(replace(BRIDGE_SIZES["mini"], dim=clip.dim))
    network.load_state_dict(dict(weights))
    views = features.picture_embeds[features.picture_is_test].flatten(0, 1)
    frames = normalize(views.float(), dim=1)
    return choose_entry(BridgeEncoder(clip, network, PRIOR_PROCESS), embed_bank(clip), frames)


def bigvgan(out: Path) -> Part:
    """Return what the training of a BigVGAN needs."""
    network = BigVGAN(VOCODER_SIZES["mini"], SPEC)
    header = Header(kind="vocoder", config=network.config, mel=SPEC)
    network.add_weight_norm()
    critics = (MultiPeriodDiscriminator(channels=8), MultiResolutionDiscriminator(channels=8))
    objective = VocoderObjective(network, critics, warmup=2000, mel_weight=15.0, scales=SCALES)
    config = replace(VOCODING, batch_size=8, lr=4e-4, save_every=250)
    return Part(objective, Waves(read_sounds(out, "train")), config, header)


def vocos(out: Path, *, critics: bool = False) -> Part:
    """Return what the training of a Vocos needs; with critics it begins with one."""
    network = Vocos(VOCOS_SIZES["mini"], SPEC)
    if critics:
        weights = load(need_part(out, "vocos"), kind="vocoder").weights
        network.load_state_dict(dict(weights))
    header = Header(kind="vocoder", config=network.config, mel=SPEC)
    lr = 2e-4 if critics else 1e-3
    config = replace(
        VOCODING, batch_size=16, lr=lr, lr_decay=0.9998, clip_norm=10.0, save_every=100
    )
    objective = VocosObjective(network, critics_from=0 if critics else None)
    dataset = PlayedWaves(read_sounds(out, "train"), objective.segment)
    return Part(objective, dataset, config, header)


PARTS: dict[str, Callable[[Path], Part]] = {
    "unet": unet,
    "prior": prior,
    "bridge": bridge,
    "bigvgan": bigvgan,
    "vocos": vocos,
    "vocos-critics": partial(vocos, critics=True),
    "prior-sd": partial(prior, sources=(1,)),
    "unet-clip-text": partial(unet, space="clip-text"),
    "unet-clap-text": partial(unet, space="clap-text"),
}


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", choices=[*PARTS, "student"])
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--minutes", type=float, help="stop after this long")
    parser.add_argument("--steps", type=int, default=200_000, help="stop at this step")
    parser.add_argument("--warm-start", help="model whose U-Net to begin with (unet alone)")
    arguments = parser.parse_args()
    out: Path = arguments.out

    torch.manual_seed(0)  # of the first weights; everything after draws from the trainer's own
    part = PARTS.get(arguments.part, partial(student, steps=arguments.steps))
    if arguments.warm_start is not None:
        if arguments.part != "unet":
            parser.error(f"'{arguments.part}' has no warm start; only 'unet' has")
        part = partial(unet, warm_start=arguments.warm_start)
    needed = part(out)
    header, config = needed.header, replace(needed.config, steps=arguments.steps)
    model = out / "model" / f"{arguments.part}.safetensors"
    model.parent.mkdir(parents=True, exist_ok=True)

    def on_save(progress: Progress, _log: MetricsLog) -> None:
        meta: dict[str, Any] = {
            **header.meta,
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "batch_size": config.batch_size,
            "losses": {name: round(loss, 5) for name, loss in progress.losses.items()},
            "clips": len(needed.dataset),
            "licence": LICENCE,
        }
        weights = fold_weight_norm(progress.weights)  # only the vocoder has any
        if arguments.part == "bridge":
            meta |= entry(out, weights)
        weights = {name: weight.half() for name, weight in weights.items()}
        network = header.config
        if isinstance(network, StudentConfig):
            calls = calls_after(network.calls, config.steps, progress.step)
            network = replace(network, calls=calls)
        done = replace(header, config=network, meta=meta)
        write(model, Bundle(header=done, weights=weights))
        shown = ", ".join(f"{name} {loss:.4f}" for name, loss in progress.losses.items())
        print(f"{arguments.part} {progress.step}: {meta['minutes']} min, {shown}", flush=True)

    try:
        train(
            needed.objective,
            needed.dataset,
            config,
            out / "train" / arguments.part,
            held_out=needed.held_out,
            minutes=arguments.minutes,
            on_save=on_save,
        )
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
