"""What training draws from prepared clips: a window of sound, and what was seen or said of it.

Each class is a data set of the trainer (``trainer/batches.py``): a clip is drawn uniformly, then
what of it, all from the generator handed in. Knows: shards. Does not know: losses.
"""

from collections.abc import Sequence
from typing import Protocol

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
    """The clips of some splits, read where they lie.

    Args:
        catalogue: Of the data set.
        clips: Their numbers.
    """

    def __init__(self, catalogue: Catalogue, clips: Sequence[int]) -> None:
        self.catalogue, self.clips = catalogue, clips
        self._indices: dict[int, Index] = {}

    @property
    def spec(self) -> MelSpec:
        """The geometry of the mels."""
        return self.catalogue.config.mel

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, clip: int) -> str:
        """Gives the id of a clip of the catalogue."""
        return self.catalogue.ids[clip]

    def label(self, clip: int) -> str | None:
        """Gives its label."""
        return self.catalogue.labels[clip]

    def place(self, clip: int) -> ClipLocation:
        """Gives where it lies."""
        return self.catalogue.place(clip)

    def mel(self, place: ClipLocation, start: int, frames: int) -> Tensor:
        """Gives a window of a mel, (1, F, frames) float32, natural logarithm."""
        _check(start, frames, place.mel_frames)
        rows = self._rows(place, "mel", place.mel + start, frames)
        return rows.float().T[None]

    def frames(self, place: ClipLocation, start: int, count: int) -> Tensor:
        """Gives vectors of neighbouring frames, (count, D) float32 of unit norm."""
        _check(start, count, place.frames)
        return F.normalize(self._rows(place, "frames", place.frame + start, count).float(), dim=-1)

    def wave(self, place: ClipLocation, start: int, samples: int) -> Tensor:
        """Gives a piece of the sound, (samples,) float32 in [-1, 1]."""
        _check(start, samples, place.samples)
        return self._rows(place, "wave", place.wave + start, samples).float() / INT16

    def _rows(self, place: ClipLocation, name: str, start: int, count: int) -> Tensor:
        if place.shard not in self._indices:
            shard = self.catalogue.shard(place.shard)
            try:
                index = read_index(at_hand(shard))
            except OSError as error:
                raise ClipsonicError(
                    f"Cannot read the prepared clips {shard}: {error.strerror or error}."
                ) from None
            # Which clips it holds is the catalogue's to say.
            slim = Index(shard=index.shard, rows=(), extents=index.extents)
            self._indices[place.shard] = slim
        rows = read_rows(self._indices[place.shard], name, start, start + count)
        return torch.from_numpy(rows.copy())


class Drawn(Protocol):
    """A data set over prepared clips: a subclass says what is drawn of a clip.

    Attributes:
        clips: What is drawn from.
    """

    clips: Prepared

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, clip: int) -> str:
        """Gives the id of a clip."""
        return self.clips.name(clip)

    def sample(self, batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws clips, with their numbers in the catalogue as ``clip``."""
        drawn = torch.randint(len(self.clips), (batch_size,), generator=generator).tolist()
        numbers = [self.clips.clips[number] for number in drawn]
        rows = [self.draw(number, generator) for number in numbers]
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {"clip": torch.tensor(numbers), **batch}

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws what is needed of a clip."""
        ...


class FramesAndSounds(Drawn):
    """A moment of a clip, as it was seen and heard: what CLIPSonic's U-Net learns from.

    Args:
        clips: With frames.
        window: Frames of mel (paper: 64, which is 2 s).
        mean_of: Neighbouring frames of the video whose vectors are averaged; 1 in the paper, 3 in
            CLIPSep (Dong et al. 2023).

    Source: CLIPSonic sections 2 and 3. Which moment of the sound goes with a frame is not said
        there: here a moment is drawn, the window lies around it, and the frame is the one of its
        part of the video, as in CLIPSep.
    """

    def __init__(self, clips: Prepared, *, window: int = 64, mean_of: int = 1) -> None:
        self.clips, self.window, self.mean_of = clips, window, mean_of

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws ``mel`` (1, F, window) normalised and ``embed`` (D,) of unit norm."""
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
        embed = self.clips.frames(place, first, count).mean(0)
        mel = normalize(self.clips.mel(place, start, self.window), spec)
        return {"mel": mel, "embed": F.normalize(embed, dim=-1)}


class TextsAndSounds(Drawn):
    """A moment of a clip, and the text its label makes: what CLIP-TTA and CLAP-TTA learn from.

    Args:
        clips: With labels, all of which the texts hold.
        texts: Of their labels.
        window: Frames of mel.
    """

    def __init__(self, clips: Prepared, texts: Texts, *, window: int = 64) -> None:
        self.clips, self.texts, self.window = clips, texts, window

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws ``mel`` (1, F, window) normalised and ``embed`` (D,) of unit norm."""
        place = self.clips.place(clip)
        spare = place.mel_frames - self.window
        start = int(torch.randint(spare + 1, (), generator=generator))
        mel = normalize(self.clips.mel(place, start, self.window), self.clips.spec)
        return {"mel": mel, "embed": self.texts.embeds[row_of(self.clips, clip, self.texts)]}


class FramesAndTexts(Drawn):
    """A frame of a clip, and the text its label makes: what CLIPSonic-SD's prior learns from.

    Args:
        clips: With frames and labels, all of which the texts hold.
        texts: Of their labels, with encodings.
    """

    def __init__(self, clips: Prepared, texts: Texts) -> None:
        self.clips, self.texts = clips, texts

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws ``embed`` and ``text_embed`` (D,), and ``text_encodings`` (L, C)."""
        place, row = self.clips.place(clip), row_of(self.clips, clip, self.texts)
        frame = int(torch.randint(place.frames, (), generator=generator))
        assert self.texts.encodings is not None  # they are a CLIP's
        return {
            "embed": self.clips.frames(place, frame, 1)[0],
            "text_embed": self.texts.embeds[row],
            "text_encodings": self.texts.encodings[row].float(),
        }


class Segments(Drawn):
    """A piece of sound and its mel: what the vocoder learns from.

    The mel is that of the whole sound, cut, so that a segment has no reflected ends.

    Args:
        clips: With their sound, none shorter than a segment.
        segment: Samples, a multiple of the hop.
    """

    def __init__(self, clips: Prepared, *, segment: int) -> None:
        self.clips, self.segment = clips, segment
        self.log_mel = LogMel(clips.spec)

    def draw(self, clip: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws ``wave`` (segment,) in [-1, 1] and ``mel`` (1, F, T), natural logarithm."""
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


def row_of(clips: Prepared, clip: int, texts: Texts) -> int:
    """Gives the row of a clip's label."""
    label = clips.label(clip)
    assert label is not None  # clips without one are not drawn from
    return texts.rows[label]


def _check(start: int, count: int, total: int) -> None:
    """Refuses to read a neighbour in the shard."""
    if not 0 <= start <= start + count <= total:
        raise ValueError(f"rows {start} to {start + count} of a clip that has {total}")
