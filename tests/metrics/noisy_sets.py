"""A small backbone that depends on the audio, and sets of vectors and sounds to score."""

import torch

from clipsonic_cli.metrics.features import Features, embed_sounds
from clipsonic_cli.types import Waveform

RATE = 16_000


class Bands:
    """Loudness of 8 bands in every 0.25 s; a text is a frequency in Hz, embedded as its tone."""

    name = "bands"
    identity = "of eight"
    dim = 8
    logit_scale = 20.0

    def embed(self, samples, sample_rate):
        if len(samples) < sample_rate // 4:
            return torch.empty(0, self.dim)
        windows = samples.unfold(0, sample_rate // 4, sample_rate // 4)  # (W, 4000)
        power = torch.fft.rfft(windows.double()).abs().square()[:, : 8 * 120]
        bands = power.unflatten(1, (8, 120)).mean(2)  # (W, 8)
        return torch.nn.functional.normalize((bands + 1e-3).log() + 8, dim=1).float()

    def embed_text(self, texts):
        tones = [tone(float(text.split()[0]), 0.25).samples for text in texts]
        return torch.cat([self.embed(samples, RATE) for samples in tones])


def tone(hz, seconds=1.0, rate=RATE):
    at = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return Waveform(samples=(0.5 * (2 * torch.pi * hz * at).sin()).float(), sample_rate=rate)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sweep(index, seconds=1.0):
    """A tone of its own height and loudness, with overtones."""
    draws = torch.rand(3, generator=generator(index))
    parts = [tone(float(200 + 1200 * draws[0]) * k, seconds).samples / k for k in (1, 2, 3)]
    return float(0.2 + 0.6 * draws[1]) * sum(parts) / 2


def embedded(count, *, snr=None, first=0, **more):
    """Features of sounds with white noise ``snr`` dB below them."""
    noise = torch.Generator().manual_seed(first)
    sounds = []
    for index in range(first, first + count):
        samples = sweep(index)
        if snr is not None:
            white = torch.randn(len(samples), generator=noise)
            samples = samples + white * samples.std() * 10 ** (-snr / 20)
        sounds.append((f"{index:03d}.wav", Waveform(samples=samples, sample_rate=RATE)))
    return embed_sounds(sounds, Bands(), **more)


def vectors(sounds, dim=6, windows=3, *, seed=0, shift=0.0, backbone="vectors"):
    """Class probabilities of random sounds, which are features as good as any."""
    rows = torch.randn(sounds * windows, dim, generator=generator(seed)) + shift
    return Features(
        backbone=backbone,
        names=tuple(f"{index:04d}" for index in range(sounds)),
        counts=(windows,) * sounds,
        rows=rows.softmax(1),
    )
