"""The embedded model's data set in memory, as the trainer's batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
import soxr
import torch
from clip_data import read_lines
from features import Features
from steps import need
from torch import Tensor

from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.config import MelSpec
from clipsonic_cli.trainer.batches import Batch

SPEC = MelSpec()


@dataclass
class Sounds:
    """All sounds of a split.

    Args:
        ids: N names.
        labels: N labels.
        waves: (N, 65536) int16.
        mels: (N, 1, F, 128) float32, natural logarithm.
    """

    ids: list[str]
    labels: list[str]
    waves: Tensor
    mels: Tensor


def read_sounds(out: Path, split: str) -> Sounds:
    """Read a split; its mels are computed once and kept in ``OUT/mels-SPLIT.pt``."""
    clips = read_lines(need(out / "data", "clips.jsonl", "data.py"))
    rows = [row for row in clips if row["split"] == split]
    ids = [row["id"] for row in rows]
    waves = torch.stack(
        [
            torch.from_numpy(soundfile.read(out / "data" / row["path"], dtype="int16")[0])
            for row in rows
        ]
    )
    cache = out / f"mels-{split}.pt"
    if cache.exists() and (kept := torch.load(cache, weights_only=True))["ids"] == ids:
        mels = kept["mels"]
    else:
        log_mel = LogMel(SPEC)
        with torch.inference_mode():
            mels = torch.cat(
                [log_mel(part.float() / 32768) for part in torch.split(waves, 64)]
            ).clone()
        temporary = cache.with_suffix(".part")
        torch.save({"ids": ids, "mels": mels}, temporary)
        temporary.replace(cache)
    return Sounds(ids, [row["label"] for row in rows], waves, mels)


class PictureSounds:
    """A sound, and a picture of the thing that makes it: what the U-Net learns from.

    A picture is a random view of one of the label's training pictures, or, half of the time where
    the label has them, a synthetic picture of its ImageNet classes.
    """

    def __init__(self, sounds: Sounds, features: Features) -> None:
        self.ids = sounds.ids
        self.mels = normalize(sounds.mels, SPEC)
        self.pools: list[list[Tensor]] = []  # by label: pictures, synthetic pictures
        train = ~features.picture_is_test
        for number, name in enumerate(features.labels):
            views = features.picture_embeds[train & (features.picture_labels == number)]
            synthetic = features.class_embeds[features.class_labels == number]
            pools = [pool.float() for pool in (views.flatten(0, 1), synthetic) if len(pool)]
            if not pools:
                raise ValueError(f"label '{name}' has no training picture")
            self.pools.append(pools)
        self.labels = [features.labels.index(label) for label in sounds.labels]

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, clip: int) -> str:
        """Return a sound's id."""
        return self.ids[clip]

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw ``mel`` (B, 1, F, T) and ``embed`` (B, D)."""
        clips = torch.randint(len(self), (batch_size,), generator=generator)
        draws = torch.rand(batch_size, 2, generator=generator)
        embeds = []
        for clip, (source, row) in zip(clips.tolist(), draws.tolist(), strict=True):
            pools = self.pools[self.labels[clip]]
            pool = pools[int(source * len(pools))]
            embeds.append(pool[int(row * len(pool))])
        return {"clip": clips, "mel": self.mels[clips], "embed": torch.stack(embeds)}


class LabelledSounds(PictureSounds):
    """A sound, and a text about it: what the U-Nets of ``clip-tta`` and ``clap-tta`` learn from.

    Args:
        sounds: The sounds.
        features: Holds the names of the labels.
        embeds: (labels, D) of unit norm, the text embedding of each label's prompt.
    """

    def __init__(self, sounds: Sounds, features: Features, embeds: Tensor) -> None:
        super().__init__(sounds, features)
        self.pools = [[row[None]] for row in embeds]


class TitledPictures:
    """A picture and a text about it: what the prior learns from.

    As many draws from each source: of ``pd`` titled pictures, the labels' own pictures and
    ImageNet's classes; of ``sd`` the labels' own alone.
    """

    def __init__(
        self, features: Features, *, max_text_len: int, sources: Sequence[int] = (0, 1, 2)
    ) -> None:
        self.features = features
        self.max_text_len = max_text_len
        source = features.pairs[:, 2]
        self.sources = [features.pairs[source == number, :2] for number in sources]

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def name(self, clip: int) -> str:
        """Return a text."""
        return self.features.texts[clip]

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw ``embed`` and ``text_embed`` (B, D) and ``text_encodings`` (B, L, C)."""
        chosen = torch.randint(len(self.sources), (batch_size,), generator=generator).tolist()
        draws = torch.rand(batch_size, generator=generator).tolist()
        pairs = torch.stack(
            [
                self.sources[source][int(draw * len(self.sources[source]))]
                for source, draw in zip(chosen, draws, strict=True)
            ]
        )
        images, texts = pairs.unbind(1)
        return {
            "clip": texts,
            "embed": self.features.image_embeds[images].float(),
            "text_embed": self.features.text_embeds[texts].float(),
            "text_encodings": self.features.encodings_of(texts, self.max_text_len),
        }


class FrameVectors:
    """Vectors (N, D) of pictures: what the bridge learns from."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def name(self, clip: int) -> str:
        """Return a picture's number."""
        return str(clip)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw ``embed`` (B, D)."""
        clips = torch.randint(len(self), (batch_size,), generator=generator)
        return {"clip": clips, "embed": self.vectors[clips]}


class Waves:
    """Sounds and their mels: what BigVGAN learns from."""

    def __init__(self, sounds: Sounds) -> None:
        self.sounds = sounds

    def __len__(self) -> int:
        return len(self.sounds.ids)

    def name(self, clip: int) -> str:
        """Return a sound's id."""
        return self.sounds.ids[clip]

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw ``wave`` (B, N) in [-1, 1] and ``mel`` (B, 1, F, T)."""
        clips = torch.randint(len(self), (batch_size,), generator=generator)
        waves = self.sounds.waves[clips].float() / 32768
        return {"clip": clips, "wave": waves, "mel": self.sounds.mels[clips]}


class PlayedWaves(Waves):
    """Pieces of sounds, each played faster or slower and at another level, and their mels.

    The sounds themselves are tuned and of even loudness; a vocoder is given any pitch and level.
    """

    def __init__(self, sounds: Sounds, segment: int) -> None:
        super().__init__(sounds)
        self.segment, self.log_mel = segment, LogMel(SPEC)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw ``wave`` (B, segment) in [-1, 1] and ``mel`` (B, 1, F, T): no reflected ends."""
        clips = torch.randint(len(self), (batch_size,), generator=generator)
        draws = torch.rand(batch_size, 3, generator=generator).tolist()
        pairs = zip(clips.tolist(), draws, strict=True)
        waves = torch.stack([self._play(clip, *draw) for clip, draw in pairs])
        edge = SPEC.n_fft // SPEC.hop_length
        mels = self.log_mel(waves)[..., edge:-edge].clone()
        inner = slice(SPEC.n_fft, -SPEC.n_fft)
        return {"clip": clips, "wave": waves[:, inner].contiguous(), "mel": mels}

    def _play(self, clip: int, pitch: float, place: float, level: float) -> Tensor:
        """Return a piece with margins, up to a semitone off and 20 dB lower, by draws in [0, 1]."""
        factor, length = 2 ** ((2 * pitch - 1) / 12), self.segment + 2 * SPEC.n_fft
        wave, needed = self.sounds.waves[clip], int(length * factor) + 64
        start = int(place * (len(wave) - needed))
        recorded = wave[start : start + needed].float().numpy() / 32768
        played = soxr.resample(recorded, SPEC.sample_rate * factor, SPEC.sample_rate)[:length]
        return torch.from_numpy(played) * 10 ** -(level**2)
