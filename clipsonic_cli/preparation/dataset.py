"""Draw training examples from prepared clips: windows of mel or audio, with embeddings.

A clip is drawn uniformly, then a part of it, all from the generator given.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.preparation.catalogue import Catalogue, ClipLocation
from clipsonic_cli.preparation.feature_shards import INT16, Index, at_hand, read_index, read_rows
from clipsonic_cli.preparation.mels import margin
from clipsonic_cli.preparation.texts import Texts


class Prepared:
    """Reads some clips, given by their numbers, of a catalogue from their shards."""

    def __init__(self, catalogue: Catalogue, clips: Sequence[int]) -> None:
        self.catalogue, self.clips = catalogue, clips
        self._indices: dict[int, Index] = {}

    @property
    def spec(self) -> MelSpec:
        """The geometry of the mels."""
        return self.catalogue.config.mel

    def __len__(self) -> int:
        return len(self.clips)

    def place(self, clip: int) -> ClipLocation:
        """Return where a clip of the catalogue is stored."""
        return self.catalogue.place(clip)

    def mel(self, place: ClipLocation, start: int, frames: int) -> Tensor:
        """Read a window of a mel, (1, F, frames) float32, natural logarithm."""
        rows = self._rows(place.shard, "mel", place.mel, place.mel_frames, start, frames)
        return rows.float().T[None]

    def frames(self, place: ClipLocation, start: int, count: int) -> Tensor:
        """Read embeddings of consecutive frames, (count, D) float32 of unit norm."""
        return self.views(place, start, count)[:, 0]

    def views(self, place: ClipLocation, start: int, count: int) -> Tensor:
        """Read embeddings of consecutive frames and of crops of each, (count, V, D), as above."""
        rows = self._rows(place.shard, "frames", place.frame, place.frames, start, count)
        return F.normalize(rows.float() if rows.ndim == 3 else rows.float()[:, None], dim=-1)

    def wave(self, place: ClipLocation, start: int, samples: int) -> Tensor:
        """Read a segment of the audio, (samples,) float32 in [-1, 1]."""
        rows = self._rows(place.shard, "wave", place.wave, place.samples, start, samples)
        return rows.float() / INT16

    def _rows(self, shard: int, name: str, first: int, total: int, start: int, n: int) -> Tensor:
        """Read n rows of a clip that has ``total`` of a tensor, the first of them at ``first``."""
        if not 0 <= start <= start + n <= total:  # or they were another clip's
            raise ValueError(f"rows {start} to {start + n} of a clip that has {total}")
        if shard not in self._indices:
            path = self.catalogue.shard(shard)
            try:
                index = read_index(at_hand(path))
            except OSError as error:
                why = error.strerror or error
                raise ClipsonicError(f"Cannot read the prepared clips {path}: {why}.") from None
            self._indices[shard] = replace(index, rows=())  # the catalogue has its rows
        rows = read_rows(self._indices[shard], name, first + start, first + start + n)
        return torch.from_numpy(rows.copy())


class Drawn(ABC):
    """A data set over prepared clips, of which a subclass draws a part."""

    clips: Prepared

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, clip: int) -> str:
        """Return the id of a clip."""
        return self.clips.catalogue.ids[clip]

    def labels(self) -> list[str]:
        """Return the labels of the clips, sorted."""
        labels = {self.clips.catalogue.labels[clip] for clip in self.clips.clips}
        return sorted(label for label in labels if label is not None)

    def sample(self, batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw a batch, with the clips' numbers in the catalogue as ``clip``."""
        drawn = torch.randint(len(self.clips), (batch_size,), generator=generator).tolist()
        numbers = [self.clips.clips[number] for number in drawn]
        rows = [self.draw(number, generator) for number in numbers]
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {"clip": torch.tensor(numbers), **batch}

    @abstractmethod
    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an example from a clip."""


class FramesAndSounds(Drawn):
    """A mel window and the embedding of its frame, for CLIPSonic's U-Net.

    Args:
        clips: Clips with frames.
        window: Frames of mel (paper: 64, which is 2 s).
        mean_of: Consecutive video frames whose embeddings are averaged; 1 in the paper, 3 in
            CLIPSep (Dong et al. 2023).
        crops: Random crops of a frame, of which one stands for it as often as itself; 0 in the
            paper. Captions are nearer to parts of an image than to the whole (Qiu et al. 2024,
            MacCap).

    Source: CLIPSonic sections 2 and 3. They do not say how frame and window are aligned: here a
        time is drawn, the window is centred on it, and the frame is the one seen then, as in
        CLIPSep.
    """

    def __init__(
        self, clips: Prepared, *, window: int = 64, mean_of: int = 1, crops: int = 0
    ) -> None:
        self.clips, self.window, self.mean_of, self.crops = clips, window, mean_of, crops

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw ``mel`` (1, F, window) normalised and ``embed`` (D,) of unit norm."""
        place, spec = self.clips.place(clip), self.clips.spec
        u = float(torch.rand((), generator=generator, dtype=torch.float64)) * place.frames
        spare = place.mel_frames - self.window
        if place.frame_rate:
            moment = u / place.frame_rate * spec.sample_rate / spec.hop_length
            start = min(max(0, round(moment - self.window / 2)), spare)
        else:
            start = int(torch.randint(spare + 1, (), generator=generator))
        count = min(self.mean_of, place.frames)
        first = min(max(0, int(u) - count // 2), place.frames - count)
        views = self.clips.views(place, first, count)[:, : 1 + self.crops]  # (count, V, D)
        view = int(torch.randint(views.shape[1], (), generator=generator)) if self.crops else 0
        embed = views[:, view].mean(0)
        mel = normalize(self.clips.mel(place, start, self.window), spec)
        return {"mel": mel, "embed": F.normalize(embed, dim=-1)}


class TextsAndSounds(Drawn):
    """A mel window and the embedding of the clip's label, for CLIP-TTA and CLAP-TTA."""

    def __init__(self, clips: Prepared, texts: Texts, *, window: int = 64) -> None:
        self.clips, self.texts, self.window = clips, texts, window

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw ``mel`` (1, F, window) normalised and ``embed`` (D,) of unit norm."""
        place = self.clips.place(clip)
        spare = place.mel_frames - self.window
        start = int(torch.randint(spare + 1, (), generator=generator))
        mel = normalize(self.clips.mel(place, start, self.window), self.clips.spec)
        return {"mel": mel, "embed": self.texts.embeds[_row_of(self.clips, clip, self.texts)]}


class FramesAndTexts(Drawn):
    """The embeddings of a frame and of the clip's label, for CLIPSonic-SD's prior."""

    def __init__(self, clips: Prepared, texts: Texts) -> None:
        self.clips, self.texts = clips, texts

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw ``embed`` and ``text_embed`` (D,), and ``text_encodings`` (L, C)."""
        place, row = self.clips.place(clip), _row_of(self.clips, clip, self.texts)
        frame = int(torch.randint(place.frames, (), generator=generator))
        assert self.texts.encodings is not None  # they are a CLIP's
        return {
            "embed": self.clips.frames(place, frame, 1)[0],
            "text_embed": self.texts.embeds[row],
            "text_encodings": self.texts.encodings[row].float(),
        }


class Frames(Drawn):
    """The embedding of a frame, for the diffusion bridge."""

    def __init__(self, clips: Prepared) -> None:
        self.clips = clips

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw ``embed`` (D,) of unit norm."""
        place = self.clips.place(clip)
        frame = int(torch.randint(place.frames, (), generator=generator))
        return {"embed": self.clips.frames(place, frame, 1)[0]}


class Segments(Drawn):
    """A segment of audio, in samples a multiple of the hop length, and its mel, for the vocoder.

    The mel is cut from that of a longer segment, so that its ends are not reflected. No clip may be
    shorter than a segment.
    """

    def __init__(self, clips: Prepared, *, segment: int) -> None:
        self.clips, self.segment, self.log_mel = clips, segment, LogMel(clips.spec)

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw ``wave`` (segment,) in [-1, 1] and ``mel`` (1, F, T), natural logarithm."""
        place, hop = self.clips.place(clip), self.clips.spec.hop_length
        frames, total = self.segment // hop, place.samples // hop
        start = int(torch.randint(total - frames + 1, (), generator=generator))
        edge = margin(self.clips.spec)
        left, right = max(0, start - edge), min(total, start + frames + edge)
        end = place.samples if right == total else right * hop
        wave = self.clips.wave(place, left * hop, end - left * hop)
        mel = self.log_mel(wave[None])[0, ..., start - left :][..., :frames]  # (1, F, T)
        skip = (start - left) * hop
        return {"wave": wave[skip : skip + self.segment], "mel": mel}


def _row_of(clips: Prepared, clip: int, texts: Texts) -> int:
    """Return the row of a clip's label."""
    label = clips.catalogue.labels[clip]
    assert label is not None  # clips without one are not drawn from
    return texts.rows[label]
