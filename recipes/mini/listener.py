"""The embedded model's listener: the small audio-text network that `fad` and `clap` run on offline.

    python recipes/mini/listener.py --out runs/mini --minutes 12

Needs the sounds of step 1, and the CLIP and the features of step 2. Learns by contrast (Wu et al.
2023, CLAP) which of the prompts in a batch are of which sounds; two sounds of one label, and the
prompts of both, are not negatives of each other. It is trained on real training clips only, never
on a held-out or generated one. Continues where the last call stopped (``OUT/train/listener``). The
averaged weights with the lowest validation loss are written to ``OUT/model/listener.safetensors``
with their accuracy on held-out sounds, and the statistics of the real test clips to
``OUT/model/truth.npz``, the default reference of ``clipsonic eval``. Two cores, no GPU.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from features import read_features
from prompts import label_texts
from sounds import SPEC, Sounds, read_sounds
from steps import need, need_part
from torch import Tensor, nn
from train import LICENCE

from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.evaluation.model_source import TRUTH
from clipsonic_cli.metrics.features import embed_sounds
from clipsonic_cli.metrics.frechet import write_statistics
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.models.listener import Listener, ListenerConfig
from clipsonic_cli.store.bundle import Bundle, Header, load, write
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.batches import Batch, crop, random_starts
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.objective import Loss
from clipsonic_cli.types import Waveform

QUIETER = 18.0
"""Most dB that a sound is turned down by."""
NOISE = (-80.0, -40.0)
"""Level of the white noise that a sound is recorded with, in dB below full scale: a little."""
PROMPT = "a photo of {}"
"""The paper's, which sounds are named by when accuracy is measured."""
CONFIG = TrainConfig(
    steps=1500,
    batch_size=64,
    lr=2e-3,
    weight_decay=0.05,
    warmup=50,
    lr_decay=0.998,
    ema_decay=0.99,
    clip_norm=1.0,
    precision="bfloat16",
    save_every=50,
    log_every=25,
    validate_every=50,
    validate_batches=4,
)


class NamedSounds:
    """Sounds with prompts of their labels; every label is drawn as often.

    Args:
        sounds: The sounds.
        texts: The embeddings (M, D) of each label's prompts.
    """

    def __init__(self, sounds: Sounds, texts: dict[str, Tensor]) -> None:
        self.sounds, self.texts = sounds, texts
        self.labels = list(texts)
        self.clips = [
            [i for i, label in enumerate(sounds.labels) if label == name] for name in self.labels
        ]
        self.with_clips = [number for number, clips in enumerate(self.clips) if clips]

    def __len__(self) -> int:
        return len(self.sounds.ids)

    def name(self, clip: int) -> str:
        """Return a sound's id."""
        return self.sounds.ids[clip]

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw ``label`` (B,), ``wave`` (B, N) in [-1, 1] and ``embed`` (B, D), of a prompt."""
        draws = torch.rand(batch_size, 3, generator=generator).tolist()
        labels = [self.with_clips[int(first * len(self.with_clips))] for first, _, _ in draws]
        clips, embeds = [], []
        for label, (_, clip, text) in zip(labels, draws, strict=True):
            prompts = self.texts[self.labels[label]]
            clips.append(self.clips[label][int(clip * len(self.clips[label]))])
            embeds.append(prompts[int(text * len(prompts))])
        return {
            "clip": torch.tensor(clips),
            "label": torch.tensor(labels),
            "wave": self.sounds.waves[clips].float() / 32768,
            "embed": torch.stack(embeds),
        }


class ListenerObjective:
    """The contrastive loss of sounds and prompts, either way; see :class:`NamedSounds`.

    Args:
        listener: The network.
    """

    def __init__(self, listener: Listener) -> None:
        self.networks: dict[str, nn.Module] = {"listener": listener}
        self.main = self.criterion = "listener"
        self.window, self.spec = listener.window, listener.spec
        self.log_mel = LogMel(listener.spec)

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw a window of each sound, noise it is recorded with, and how loud it is played."""
        wave = batch["wave"]
        wave = crop(wave, random_starts(wave, self.window, generator), self.window)
        noise, quieter = torch.rand(2, len(wave), 1, generator=generator)
        low, high = NOISE
        level = 10 ** ((low + (high - low) * noise) / 20)
        wave = wave + level * torch.randn(wave.shape, generator=generator)
        mel = normalize(self.log_mel(wave * 10 ** (-QUIETER * quieter / 20)), self.spec)
        return {name: batch[name] for name in ("clip", "label", "embed")} | {"mel": mel}

    def turns(self, _step: int) -> Sequence[str]:
        """There is but one network."""
        return ("listener",)

    def loss(self, network: str, batch: Batch, _step: int) -> Loss:
        """Return the loss, and the share of sounds whose nearest prompt is of another label."""
        logits: Tensor = self.networks[network](batch["mel"], batch["embed"])  # (B, B)
        label = batch["label"].to(logits.device)
        same = label[:, None] == label
        target = same / same.sum(1, keepdim=True)
        contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        misnamed = (label[logits.argmax(1)] != label).float()
        return Loss(mean=contrast, parts={"misnamed": misnamed.detach()})


def named_right(backbone: MiniBackbone, sounds: Sounds, labels: list[str]) -> float:
    """Return the share of sounds that are named right, as a mean over the labels they have.

    Args:
        backbone: Embeds them.
        sounds: Sounds of any split.
        labels: All names there are to choose from.
    """
    texts = backbone.embed_text([PROMPT.format(label) for label in labels])
    right: dict[str, list[bool]] = {}
    for wave, label in zip(sounds.waves, sounds.labels, strict=True):
        rows = backbone.embed(wave.float() / 32768, SPEC.sample_rate)
        named = labels[int((rows @ texts.T).mean(0).argmax())]
        right.setdefault(label, []).append(named == label)
    return sum(sum(hits) / len(hits) for hits in right.values()) / len(right)


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--minutes", type=float, help="stop after this long")
    parser.add_argument("--steps", type=int, default=CONFIG.steps, help="stop at this step")
    arguments = parser.parse_args()
    out: Path = arguments.out
    features = read_features(need(out, "features.pt", "clip.py"))
    clip = load_clip(load(need_part(out, "clip"), kind="clip"))
    described = need(out / "data", "labels.json", "data.py").read_text(encoding="utf-8")
    row = {text: number for number, text in enumerate(features.texts)}
    texts = {
        label["label"]: features.text_embeds[[row[text] for text in label_texts(label)]].float()
        for label in json.loads(described)
    }
    sounds, valid = read_sounds(out, "train"), read_sounds(out, "valid")
    torch.manual_seed(0)  # of the first weights; everything after draws from the trainer's own
    config = ListenerConfig(text_dim=features.text_embeds.shape[1])
    listener = Listener(config, SPEC).to(memory_format=torch.channels_last)
    run = out / "train" / "listener"
    try:
        progress = train(
            ListenerObjective(listener),
            NamedSounds(sounds, texts),
            dataclasses.replace(CONFIG, steps=arguments.steps),
            run,
            held_out=NamedSounds(valid, texts),
            minutes=arguments.minutes,
        )
    except KeyboardInterrupt:
        sys.exit(130)
    best = checkpoint.load_best(run)
    assert best is not None  # the loop ends with a validation, also where time is up
    weights = {n: w.half() if w.is_floating_point() else w for n, w in best["weights"].items()}
    listener.load_state_dict(weights)  # rounded, as they are shipped
    backbone = MiniBackbone(listener.eval().requires_grad_(requires_grad=False), clip)
    splits = {"valid": valid, "test": read_sounds(out, "test")}
    meta = {
        "steps": best["step"],
        "minutes": round(progress.seconds / 60, 1),
        "batch_size": CONFIG.batch_size,
        "losses": {"listener": round(progress.losses["listener"], 5)},
        "held_out": {"listener": round(best["score"], 5)},
        "accuracy": {n: round(named_right(backbone, s, [*texts]), 4) for n, s in splits.items()},
        "clips": len(sounds.ids),
        "licence": LICENCE,
    }
    header = Header(
        kind="listener",
        config=dataclasses.asdict(config),
        mel=SPEC,
        encoder=features.encoder,
        meta=meta,
    )
    path = out / "model" / "listener.safetensors"
    write(path, Bundle(header=header, weights=weights))
    backbone = MiniBackbone.read(path.parent, torch.device("cpu"))
    named = zip(splits["test"].ids, splits["test"].waves.float() / 32768, strict=True)
    truth = embed_sounds(
        ((name, Waveform(samples=wave, sample_rate=SPEC.sample_rate)) for name, wave in named),
        backbone,
    )
    write_statistics(
        path.with_name(TRUTH),
        truth.statistics(),
        backbone=backbone.name,
        identity=backbone.identity,
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {json.dumps(meta)}")


if __name__ == "__main__":
    main()
