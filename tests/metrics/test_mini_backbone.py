import dataclasses
import math
import shutil

import pytest
import torch
from noisy_sets import generator, sweep, tone

from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.metrics import METRICS
from clipsonic_cli.metrics.features import embed_prompts, embed_sounds
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.models.listener import ListenerConfig
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED
from clipsonic_cli.types import Waveform

CPU = torch.device("cpu")
MINI = BUNDLED / "mini"
SHIPPED = dataclasses.asdict(ListenerConfig())


@pytest.fixture(scope="module")
def backbone():
    return MiniBackbone.load(CPU)


@pytest.fixture
def folder(tmp_path):
    """A copy of the listener next to the CLIP, to be damaged."""
    shutil.copy(MINI / "listener.safetensors", tmp_path)
    (tmp_path / "clip.safetensors").symlink_to(MINI / "clip.safetensors")
    return tmp_path


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def rewritten(folder, *, weights=None, **header):
    """Write the listener again with another header or other weights."""
    part = bundle.load(folder / "listener.safetensors", kind="listener")
    changed = dataclasses.replace(part.header, **header)
    kept = bundle.Bundle(header=changed, weights=part.weights | (weights or {}))
    bundle.write(folder / "listener.safetensors", kept)


@pytest.mark.parametrize(
    ("samples", "windows"),
    [
        (0, 0),
        (1, 1),
        (700, 1),
        (32_768, 1),
        (33_024, 1),  # half a frame more
        (33_025, 2),
        (49_152, 2),
        (49_500, 3),
        (64_000, 3),
        (65_536, 3),
        (65_540, 3),
        (160_000, 9),
    ],
)
def test_a_sound_is_covered_by_windows_at_most_half_of_one_apart(backbone, samples, windows):
    rows = backbone.embed(noise(samples), 16_000)
    assert rows.shape == (windows, backbone.dim)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(windows))


def test_windows_are_spread_from_the_beginning_to_the_end(backbone):
    sound = noise(64_000)
    parts = [backbone.embed(sound[start:][:32_768], 16_000) for start in (0, 15_616, 31_232)]
    torch.testing.assert_close(
        backbone.embed(sound, 16_000), torch.cat(parts), atol=1e-5, rtol=1e-5
    )


def test_a_shorter_sound_is_followed_by_silence(backbone):
    sound = noise(5000)
    followed = torch.cat([sound, torch.zeros(27_768)])
    assert torch.equal(backbone.embed(sound, 16_000), backbone.embed(followed, 16_000))


def test_the_same_sound_has_the_same_vectors_and_another_has_others(backbone):
    sound = tone(440, 4.0).samples
    assert torch.equal(backbone.embed(sound, 16_000), backbone.embed(sound.clone(), 16_000))
    cosines = (backbone.embed(sound, 16_000) * backbone.embed(noise(64_000), 16_000)).sum(1)
    assert cosines.max() < 0.9


def test_silence_has_a_vector(backbone):
    rows = backbone.embed(torch.zeros(64_000), 16_000)
    assert torch.equal(rows, rows[:1].expand(3, -1))
    assert rows[0].norm().item() == pytest.approx(1)


@pytest.mark.parametrize("sample_rate", [8000, 22_050, 44_100, 48_000])
def test_other_sample_rates_make_no_difference(backbone, sample_rate):
    expected = backbone.embed(tone(1000, 4.096).samples, 16_000)
    seen = backbone.embed(tone(1000, 4.096, sample_rate).samples, sample_rate)
    assert (seen * expected).sum(1).min() > 0.99


def test_texts_are_put_next_to_the_sounds(backbone):
    texts = backbone.embed_text(["a photo of rain", "a dog barking"])
    assert texts.shape == (2, backbone.dim)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(2))
    assert 1 < backbone.logit_scale <= 100
    with pytest.raises(UsageError, match="prompt is empty"):
        backbone.embed_text([" "])


@pytest.mark.parametrize(
    ("samples", "sample_rate", "fault"),
    [
        (torch.zeros(2, 16_000), 16_000, r"need finite samples \(N,\), got \(2, 16000\)"),
        (torch.tensor([0.0, math.nan]), 16_000, "finite"),
        (torch.zeros(16_000), 0, "sample rate in Hz, got 0"),
    ],
)
def test_invalid_samples_are_rejected(backbone, samples, sample_rate, fault):
    with pytest.raises(ValueError, match=fault):
        backbone.embed(samples, sample_rate)


def test_it_is_known_by_its_listener(backbone, folder):
    assert backbone.identity == bundle.identity(MINI / "listener.safetensors")
    rewritten(folder, weights={"log_scale": torch.zeros(())})
    assert MiniBackbone.read(folder, CPU).identity != backbone.identity
    assert not MiniBackbone(backbone.listener, backbone.clip).identity


def test_a_clip_whose_texts_it_was_not_trained_on_is_rejected(folder):
    rewritten(folder, encoder="another-clip")
    with pytest.raises(BadBundle, match=r"texts of encoder 'another-clip', the CLIP next to it"):
        MiniBackbone.read(folder, CPU)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"config": SHIPPED | {"frames": 65}},
            "listener.* describes a network that cannot be built: .*65 frames cannot be halved",
        ),
        ({"config": {}}, "describes no listener .*lacks the field 'channels'"),
        ({"config": SHIPPED | {"dim": 64}}, "listener.* do not fit its network .*sound_projection"),
        (
            {"config": SHIPPED | {"text_dim": 99}},
            r"text_projection.weight is \(128, 256\) where \(128, 99\) is needed",
        ),
        ({"weights": {"log_scale": torch.zeros(2)}}, r"log_scale is \(2,\)"),
    ],
)
def test_a_damaged_listener_is_named_in_a_line(folder, change, fault):
    rewritten(folder, **change)
    with pytest.raises(BadBundle, match=fault) as caught:
        MiniBackbone.read(folder, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["mel", "encoder"])
def test_a_listener_that_says_too_little_is_no_part(field):
    header = bundle.read_header(MINI / "listener.safetensors")
    with pytest.raises(ValueError, match=f"a listener needs '{field}'"):
        dataclasses.replace(header, **{field: None})


def test_a_folder_without_a_listener_is_named(tmp_path):
    with pytest.raises(MissingWeights, match=r"no weights file .*listener\.safetensors"):
        MiniBackbone.read(tmp_path, CPU)


def embedded_at(backbone, sounds, snr):
    noisy = []
    for name, samples in sounds.items():
        level = samples.std() / 0.1 * 10 ** (-snr / 20)
        both = samples + level * noise(len(samples), seed=int(name))
        noisy.append((name, Waveform(samples=both, sample_rate=16_000)))
    return embed_sounds(noisy, backbone)


def scores(metric, sets, against):
    found = [METRICS.load(metric)(made, against, generator=generator())[0] for made in sets]
    assert {score.label for score in found} == {f"{metric}[mini]"}
    return [score.value for score in found]


def test_the_more_noise_the_worse_the_scores(backbone):
    """Of tones that keep on with overtones, as an organ's do."""
    clean = {str(index): sweep(index, 4.0) for index in range(12)}
    reference = embedded_at(backbone, clean, math.inf)
    prompts = embed_prompts(dict.fromkeys(clean, "a photo of organ"), backbone)
    sets = [embedded_at(backbone, clean, snr) for snr in (math.inf, 20, 10, 0)]
    fads, claps = scores("fad", sets, reference), scores("clap", sets, prompts)
    assert fads[0] == pytest.approx(0, abs=1e-6)
    assert fads == sorted(fads)
    assert claps == sorted(claps, reverse=True)
