"""A fast backbone that depends on the audio, and folders of sounds to score with it."""

import zlib
from pathlib import Path

import soundfile
import torch
from noisy_sets import RATE, Bands, generator, sweep


class FakeBackbone(Bands):
    """In place of the embedded network; each text is embedded as a tone."""

    name = "mini"

    @classmethod
    def load(cls, device):
        return cls()

    def embed_text(self, texts):
        return super().embed_text([f"{pitch(text)} Hz" for text in texts])


class PaperBackbone(FakeBackbone):
    """The same as the paper's network."""

    name = "vggish"


class FakeTagger(Bands):
    """A network with classes and no text encoder: each band is a class."""

    name = "panns"

    @classmethod
    def load(cls, device):
        return cls()

    def tag(self, rows):
        return (10 * rows).softmax(1)


class FakeRatings(Bands):
    """A network that rates sounds: by the loudness of four bands."""

    name = "audiobox"
    dim = 4
    ratings = ("PQ", "PC", "CE", "CU")

    @classmethod
    def load(cls, device):
        return cls()

    def embed(self, samples, sample_rate):
        return super().embed(samples, sample_rate)[:, :4].mean(0, keepdim=True)


class FakeImageBackbone(FakeBackbone):
    """A network that embeds each image as the tone of its file's name."""

    name = "wav2clip"

    def embed_images(self, images):
        return self.embed_text([path.stem for path in images])


def pitch(text):
    """The tone that a text is, in Hz."""
    return 150 + zlib.crc32(text.encode()) % 700


def write_sounds(folder, count=12, *, snr=None, suffix=".wav", seconds=1.0, name="dog-{}"):
    """Writes sounds into a folder, with white noise so many dB below them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        samples = sweep(index, seconds)
        if snr is not None:
            white = torch.randn(len(samples), generator=generator(index))
            samples = samples + white * samples.std() * 10 ** (-snr / 20)
        path = folder / f"{name.format(index)}{suffix}"
        soundfile.write(path, samples.clamp(-1, 1).numpy(), RATE)
    return Path(folder)
