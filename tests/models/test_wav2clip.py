import published
import pytest
import torch

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.clip import OpenClip
from clipsonic_cli.models.state_dict import build, outline
from clipsonic_cli.models.wav2clip import (
    CLIP,
    ResNet18,
    Wav2Clip,
    from_wav2clip,
    spectrogram,
)

DESCRIBED = published.CLIP_CONFIG | {"model_cfg": published.VIT_B_32}


@pytest.fixture(scope="module")
def clip():
    """ViT-B/32 with the real names and shapes, and no numbers."""
    shapes = outline(lambda: OpenClip(CLIP), "CLIP").state_dict()
    empty = torch.tensor(0.0)
    return {name.removeprefix("clip."): empty.expand(w.shape) for name, w in shapes.items()}


@pytest.fixture(scope="module")
def checkpoint():
    return published.wav2clip()


def test_the_weights_are_those_of_the_network(checkpoint, clip):
    weights = from_wav2clip(checkpoint, DESCRIBED, clip)
    wanted = outline(Wav2Clip, "Wav2CLIP").state_dict()
    assert {n: w.shape for n, w in weights.items()} == {n: w.shape for n, w in wanted.items()}
    for theirs in ("audio_encoder.layer3.0.downsample.0.weight", "audio_encoder.bn1.bias"):
        ours = theirs.replace("audio_encoder", "encoder")
        assert torch.equal(weights[ours], checkpoint[theirs])
    assert torch.equal(weights["transform.3.bias"], checkpoint["audio_transform.sequential.3.bias"])


def test_silence_is_even():
    assert float(spectrogram(torch.zeros(16_000)).abs().max()) < 1e-3


def test_a_spectrogram_has_no_level():
    sound = published.wave("sound", 16_000)
    torch.testing.assert_close(spectrogram(sound), spectrogram(0.5 * sound), atol=0.1, rtol=0)


def test_a_block_is_its_definition(checkpoint):
    begin = "audio_encoder."
    weights = {n.removeprefix(begin): w for n, w in checkpoint.items() if n.startswith(begin)}
    del weights["spectrogram.window"]
    block = build(ResNet18, weights, "ResNet").layer2[0]
    h = published.wave("features", 1, 64, 9, 7)

    def normalized(conv, norm, h, **more):
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        h = torch.nn.functional.conv2d(h, conv.weight, **more) - norm.running_mean[:, None, None]
        return h * scale[:, None, None] + norm.bias[:, None, None]

    wide = normalized(block.conv1, block.bn1, h, stride=2, padding=1).relu()
    wide = normalized(block.conv2, block.bn2, wide, padding=1)
    expected = (wide + normalized(*block.downsample, h, stride=2)).relu()
    torch.testing.assert_close(block(h), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"audio_encoder.conv1.weight": None}, r"missing audio_encoder\.conv1\.weight"),
        ({"audio_encoder.fc.weight": torch.zeros(1)}, r"unexpected audio_encoder\.fc"),
        ({"audio_transform.sequential.0.bias": torch.zeros(3)}, r"sequential\.0\.bias is \(3,\)"),
        ({"audio_encoder.bn1.bias": torch.full((64,), torch.nan)}, r"bn1\.bias .* not finite"),
    ],
)
def test_other_weights_are_rejected(checkpoint, clip, change, fault):
    state = {name: w for name, w in (checkpoint | change).items() if w is not None}
    with pytest.raises(BadBundle, match=fault):
        from_wav2clip(state, DESCRIBED, clip)


def test_another_clip_is_rejected(checkpoint, clip):
    with pytest.raises(BadBundle, match=r"'ViT-B-32-quickgelu' \(1 fault: missing clip\.visual"):
        from_wav2clip(checkpoint, DESCRIBED, {n: w for n, w in clip.items() if n != "visual.proj"})
    other = published.CLIP_CONFIG | {"model_cfg": published.VIT_B_32 | {"quick_gelu": False}}
    with pytest.raises(BadBundle, match="quick_gelu"):
        from_wav2clip(checkpoint, other, clip)


@pytest.mark.parametrize("read", [None, 3, [1], {}])
def test_what_is_no_checkpoint_is_rejected(clip, read):
    with pytest.raises(BadBundle, match="Wav2CLIP"):
        from_wav2clip(read, DESCRIBED, clip)
