import dataclasses
import shutil

import numpy as np
import published_clap
import pytest
import soxr
import torch
from published_clap import tokenizer
from tokenizers import Tokenizer
from tokenizers.models import BPE

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import UNetConfig
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.encoders.clap import ClapTextEncoder, load_clap, word_pieces
from clipsonic_cli.encoders.tokenizers import TOKENIZER
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.models.clap import CONSTANTS, ClapNetwork, clap_identity, leaf_of
from clipsonic_cli.models.clap_mel import SAMPLE_RATE, SAMPLES, log_mel, mel_filters
from clipsonic_cli.models.state_dict import outline
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.modes import MODES
from clipsonic_cli.store.bundle import Bundle, Header, load, read_header, write
from clipsonic_cli.types import Query, Waveform

SMALL = dataclasses.replace(published_clap.SMALL, vocab_size=300)  # a token for every byte


def as_tensor(made):
    return torch.frombuffer(bytearray(made.to_str().encode()), dtype=torch.uint8)


def random_bundle(seed=0, config=SMALL):
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.rand(t.shape, generator=generator) + 0.1
        if name.endswith(("running_var", "norm.weight", "LayerNorm.weight"))
        else torch.randn(t.shape, generator=generator)
        / max(t[0].numel() if t.ndim else 1, 4) ** 0.5
        for name, t in outline(lambda: ClapNetwork(config), "clap").state_dict().items()
        if leaf_of(name) not in CONSTANTS
    }
    weights[TOKENIZER] = as_tensor(tokenizer())
    header = Header(kind="clap", config=dataclasses.asdict(config), encoder=clap_identity(weights))
    return Bundle(header=header, weights=weights)


@pytest.fixture(scope="module")
def bundle():
    return random_bundle()


@pytest.fixture(scope="module")
def clap(bundle):
    return load_clap(bundle)


def noise(samples, rate=SAMPLE_RATE, level=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Waveform(samples=level * torch.randn(samples, generator=generator), sample_rate=rate)


def tone(hz, samples=SAMPLES):
    t = torch.arange(samples, dtype=torch.float64) / SAMPLE_RATE
    return Waveform(
        samples=(0.5 * torch.sin(2 * torch.pi * hz * t)).float(), sample_rate=SAMPLE_RATE
    )


def in_16_bits(samples):
    return np.trunc(np.clip(samples, -1, 1) * np.float32(32767)).astype(np.int16) / np.float32(
        32767
    )


@pytest.mark.parametrize(
    "sound",
    [
        noise(196_608),
        noise(480_000, level=0.01),
        noise(20_000, level=3.0),
        noise(480_300),
        tone(1000, 200_000),
        noise(1),
    ],
    ids=["4 s", "10 s", "clipped", "a little over 10 s", "tone", "one sample"],
)
def test_the_mel_is_that_of_transformers_for_16_bit_sound(sound):
    from transformers import ClapFeatureExtractor

    theirs = ClapFeatureExtractor(frequency_min=50, truncation="fusion", padding="repeatpad")
    steps = in_16_bits(sound.samples.numpy())
    expected = theirs(steps, sampling_rate=48_000, return_tensors="pt")["input_features"][0]
    ours = log_mel(sound)
    assert ours.shape == (1, 1001, 64)
    assert ours.dtype == torch.float32
    for one in expected:
        torch.testing.assert_close(ours[0], one, atol=5e-5, rtol=0)


def test_a_tone_is_loudest_in_the_band_around_it():
    filters = mel_filters()
    for hz in (100, 440, 1000, 5000, 13_000):
        mel = log_mel(tone(hz))[0, 500]
        assert mel.argmax() == filters[:, round(hz / SAMPLE_RATE * 1024)].argmax()


def test_neighbouring_bands_share_what_lies_between_their_centres():
    filters = mel_filters()
    assert filters.shape == (64, 513)
    inside = filters.sum(0)[8:280]  # from above the first centre to below the last
    torch.testing.assert_close(inside, torch.ones_like(inside))
    assert not filters[:, [0, 1, 299, 512]].any()  # 47 Hz and 14,016 Hz lie outside


def test_silence_and_what_is_below_one_step_of_16_bits_is_the_floor():
    for level in (0.0, 0.99 / 32767):
        sound = Waveform(samples=torch.full((5000,), level), sample_rate=SAMPLE_RATE)
        assert torch.equal(log_mel(sound), torch.full((1, 1001, 64), -100.0))


def test_what_is_beyond_full_scale_is_cut():
    sound = noise(30_000, level=2)
    cut = Waveform(samples=sound.samples.clamp(-1, 1), sample_rate=SAMPLE_RATE)
    assert torch.equal(log_mel(sound), log_mel(cut))


def test_a_short_sound_is_repeated_whole_and_followed_by_silence():
    sound = noise(196_608)  # 4.096 s
    spelled = torch.cat([sound.samples, sound.samples, torch.zeros(86_784)])
    assert len(spelled) == SAMPLES
    whole = Waveform(samples=spelled, sample_rate=SAMPLE_RATE)
    assert torch.equal(log_mel(sound), log_mel(whole))


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_other_sample_rates_are_resampled_by_soxr(rate):
    sound = noise(rate, rate)
    resampled = torch.from_numpy(soxr.resample(sound.samples.numpy(), rate, SAMPLE_RATE))
    assert torch.equal(
        log_mel(sound), log_mel(Waveform(samples=resampled, sample_rate=SAMPLE_RATE))
    )


@pytest.mark.parametrize(("samples", "rate"), [(480_480, 48_000), (160_160, 16_000)])
def test_a_sound_over_ten_seconds_is_rejected(samples, rate):
    with pytest.raises(UsageError, match=r"at most 10 s, this sound lasts 10\.01 s: cut it"):
        log_mel(noise(samples, rate))


@pytest.mark.parametrize(
    "samples", [torch.empty(0), torch.zeros(2, 3), torch.tensor([0.0, float("nan")])]
)
def test_what_is_no_mono_sound_is_a_value_error(samples):
    with pytest.raises(ValueError, match="finite samples"):
        log_mel(Waveform(samples=samples, sample_rate=SAMPLE_RATE))


def test_the_same_sound_gives_the_same_bits(clap):
    sounds = [noise(65_536, 16_000), noise(48_000, seed=1)]
    assert torch.equal(clap.embed_audio(sounds), clap.embed_audio(sounds))


def test_sounds_of_several_lengths_are_the_same_together_and_alone(clap):
    sounds = [noise(n, seed=n) for n in (4_000, 480_000, 196_608)]
    sounds += [noise(n, 16_000, seed=n) for n in (16_000, 65_536)]
    alone = torch.cat([clap.embed_audio([sound]) for sound in sounds])
    torch.testing.assert_close(clap.embed_audio(sounds), alone, atol=1e-5, rtol=1e-4)


def test_many_sounds_are_embedded_in_order_with_progress(clap):
    seen = []
    sounds = [noise(1000 * (i + 1), seed=i) for i in range(17)]
    embeds = clap.embed_audio(sounds, report=lambda *progress: seen.append(progress))
    assert seen == [("audio", 16, 17), ("audio", 17, 17)]
    torch.testing.assert_close(embeds[16:], clap.embed_audio(sounds[16:]), atol=1e-5, rtol=1e-4)


def test_embeddings_are_float32_of_unit_norm(clap):
    for embed in (clap.embed_audio([noise(9000), tone(440)]), clap.embed_text(["rain", "a dog"])):
        assert embed.shape == (2, clap.dim)
        assert embed.dtype == torch.float32
        torch.testing.assert_close(embed.norm(dim=1), torch.ones(2))
        assert not torch.allclose(embed[0], embed[1], atol=1e-3)


def test_nothing_gives_no_rows(clap):
    assert clap.embed_audio([]).shape == clap.embed_text([]).shape == (0, clap.dim)


def test_texts_are_tokenized_as_robertas_are():
    made = tokenizer()
    ids = word_pieces(made.to_str().encode(), SMALL)(["hi", "a very long text"])
    h, i = made.token_to_id("h"), made.token_to_id("i")
    assert ids[0].tolist() == [0, h, i, 2] + [1] * 8
    assert ids.shape == (2, 12)
    assert ids[1, [0, -1]].tolist() == [0, 2]


def test_the_texts_around_one_change_nothing(clap):
    texts = ["rain", *"abcdefghijklmnopqrst", "雨の音", "a text beyond the longest"]
    alone = torch.cat([clap.embed_text([text]) for text in texts])
    torch.testing.assert_close(clap.embed_text(texts), alone, atol=1e-5, rtol=1e-4)


def test_the_encoder_gives_conditions_of_claps_text_space(clap):
    condition = ClapTextEncoder(clap)([Query(text="rain")], noise=SeededNoise([0]))
    assert (condition.space, condition.encoder) == ("clap-text", clap.identity)
    assert torch.equal(condition.embed, clap.embed_text(["rain"]))


def test_an_image_or_a_text_without_words_is_rejected(clap, violin_picture):
    with pytest.raises(ValueError, match="text queries only"):
        ClapTextEncoder(clap)([Query(image=violin_picture)], noise=SeededNoise([0]))
    with pytest.raises(UsageError, match="is empty"):
        clap.embed_text(["rain", "  \n"])


def test_a_bundle_comes_back_as_the_same_clap(tmp_path, bundle, clap):
    write(tmp_path / "clap.safetensors", bundle)
    stored = load(tmp_path / "clap.safetensors", kind="clap")
    assert stored.weights.keys() == bundle.weights.keys()
    assert all(torch.equal(stored.weights[name], w) for name, w in bundle.weights.items())
    again = load_clap(stored)
    assert again.identity == clap.identity
    assert again.config == SMALL
    # Weights in a file are aligned in another way, by which kernels round otherwise.
    torch.testing.assert_close(again.embed_text(["rain"]), clap.embed_text(["rain"]))
    torch.testing.assert_close(again.embed_audio([tone(440)]), clap.embed_audio([tone(440)]))


def changed(bundle, weights=None, kind="clap", **config):
    header = dataclasses.replace(
        bundle.header, kind=kind, config={**bundle.header.config, **config}
    )
    return dataclasses.replace(bundle, header=header, weights=weights or bundle.weights)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dim": 9}, "do not fit"),
        ({"layers": 7}, "layers"),
        ({"audio_depths": [2, 1]}, "four stages"),
        ({"text_dim": 17}, "cannot be built"),
        ({"vocab_size": 50}, r"260 word pieces .* reads 50"),
        ({"kind": "clip"}, "holds a clip"),
    ],
)
def test_a_bundle_that_describes_another_clap_is_rejected(bundle, change, reason):
    with pytest.raises(BadBundle, match=reason):
        load_clap(changed(bundle, **change))


@pytest.mark.parametrize("content", [b" ", b"{}", b"\xff\xfe", b"[" * 10_000])
def test_a_damaged_tokenizer_is_rejected(bundle, content):
    tensor = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    with pytest.raises(BadBundle, match="tokenizer is damaged"):
        load_clap(changed(bundle, {**bundle.weights, TOKENIZER: tensor}))


def test_a_tokenizer_that_is_not_robertas_or_missing_is_rejected(bundle):
    other = as_tensor(Tokenizer(BPE({"a": 0, "<pad>": 5}, [])))
    with pytest.raises(BadBundle, match=r"<pad> as number 5; .* as number 1"):
        load_clap(changed(bundle, {**bundle.weights, TOKENIZER: other}))
    weights = {name: w for name, w in bundle.weights.items() if name != TOKENIZER}
    with pytest.raises(BadBundle, match="lacks its 'tokenizer'"):
        load_clap(changed(bundle, weights))


@pytest.fixture(scope="module")
def model(micro, bundle, tmp_path_factory):
    """The micro model with the parts of mode clap-tta."""
    folder = tmp_path_factory.mktemp("with-clap") / "model"
    shutil.copytree(micro, folder)
    header = read_header(micro / "unet.safetensors")
    config = dataclasses.replace(header.config, cond_dim=SMALL.dim)
    assert isinstance(config, UNetConfig)
    header = dataclasses.replace(
        header, config=config, space="clap-text", encoder=bundle.header.encoder
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {k: 0.05 * torch.randn_like(w) for k, w in UNet(config).state_dict().items()}
    write(folder / "unet-clap-text.safetensors", Bundle(header=header, weights=weights))
    write(folder / "clap.safetensors", bundle)
    return folder


def test_mode_clap_tta_makes_sounds_that_depend_on_the_text(model):
    sonic = ClipSonic.load(model, device="cpu")
    assert MODES["clap-tta"].weights == ("clap", "unet-clap-text")
    rain, again, dog = (
        sonic(text, mode="clap-tta", steps=2, seconds=0.5, seed=1).samples
        for text in ("rain", "rain", "a barking dog")
    )
    assert rain.shape == (8000,)
    assert torch.equal(rain, again)
    assert not torch.equal(rain, dog)


def test_a_clap_that_the_u_net_was_not_trained_on_is_rejected(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    other = random_bundle(seed=1)
    write(tmp_path / "model" / "clap.safetensors", other)
    sonic = ClipSonic.load(tmp_path / "model", device="cpu")
    with pytest.raises(BadBundle, match=f"the CLAP gives those of '{other.header.encoder}'"):
        sonic("rain", mode="clap-tta", steps=2, seconds=0.5)
