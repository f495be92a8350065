from dataclasses import replace

import published
import pytest
import torch

from clipsonic_cli.config import VOCODER_SIZES, MelSpec, VocoderConfig
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.bigvgan import BigVGAN, fold_weight_norm
from clipsonic_cli.models.nvidia_bigvgan import warm_start
from clipsonic_cli.models.state_dict import load

SPELLINGS = [".weight_{}", ".parametrizations.weight.original{}"]
SMALL = VocoderConfig(channels=64)
THEIRS = MelSpec(sample_rate=44_100, n_mels=128, f_max=22_050.0)


def build(config=SMALL, spec=None):
    return BigVGAN(config, spec or MelSpec()).requires_grad_(requires_grad=False)


def generator(**sizes):
    return published.bigvgan(**{"channels": 64} | sizes)["generator"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_file_of_either_spelling_loads_into_its_own_network(spelling):
    config = replace(SMALL, tanh_at_final=False, bias_at_final=False)
    vocoder, mel = build(config, THEIRS), published.wave("mel", 1, 1, 128, 3)
    load(vocoder, fold_weight_norm(generator(spelling=spelling)), "vocoder")
    normed = build(config, THEIRS)
    normed.add_weight_norm()
    normed.load_state_dict(generator(spelling=SPELLINGS[1]))
    torch.testing.assert_close(vocoder(mel), normed(mel), atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_real_file_starts_the_large_vocoder_but_for_what_reads_the_mel(spelling):
    file = published.bigvgan(spelling=spelling)["generator"]
    assert len(file) == 783
    assert sum(w.numel() for k, w in file.items() if "filter" not in k) == 122_184_529
    vocoder = build(VOCODER_SIZES["large"])
    left = warm_start(vocoder, file)
    assert left == ["conv_post.bias", "conv_pre.bias", "conv_pre.weight"]
    theirs, ours = fold_weight_norm(file), vocoder.state_dict()
    assert ours.keys() - theirs.keys() == {"conv_post.bias"}
    assert all(torch.equal(ours[k], w) for k, w in theirs.items() if k not in left)


def test_what_is_left_keeps_its_start():
    vocoder = build()
    before = {k: w.clone() for k, w in vocoder.state_dict().items()}
    for name in warm_start(vocoder, generator()):
        assert torch.equal(vocoder.state_dict()[name], before[name])


def test_a_vocoder_of_the_second_versions_end_lacks_only_what_reads_the_mel():
    vocoder = build(replace(SMALL, tanh_at_final=False, bias_at_final=False))
    assert warm_start(vocoder, generator()) == ["conv_pre.bias", "conv_pre.weight"]


def test_a_generator_of_as_many_bands_and_a_last_bias_is_taken_whole():
    assert warm_start(build(), generator(bands=64, bias=True)) == []


@pytest.mark.parametrize(
    ("config", "sizes", "fault"),
    [
        (SMALL, {"channels": 128}, r"conv_pre.weight is \(128, 128, 7\) where \(64, 128, 7\)"),
        (SMALL, {"rates": (8, 8, 2, 2, 2)}, "missing ups.5.0.weight"),
        (replace(SMALL, bias_at_final=False), {"bias": True}, "unexpected conv_post.bias"),
    ],
)
def test_another_network_is_rejected_and_nothing_is_changed(config, sizes, fault):
    vocoder = build(config)
    before = {k: w.clone() for k, w in vocoder.state_dict().items()}
    with pytest.raises(BadBundle, match=f"is another network.*{fault}") as caught:
        warm_start(vocoder, generator(**sizes))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(w, before[k]) for k, w in vocoder.state_dict().items())


@pytest.mark.parametrize(
    "change",
    [
        {"ups.0.0.weight_g": None},
        {"ups.0.0.weight_g": torch.zeros(7)},
        {"conv_pre.bias": None},
        {"conv_post.weight_v": torch.tensor(0.0)},
    ],
)
def test_a_damaged_file_is_rejected(change):
    state = {k: w for k, w in (generator() | change).items() if w is not None}
    with pytest.raises(BadBundle, match=next(iter(change)).rsplit(".", 1)[0]):
        warm_start(build(), state)
