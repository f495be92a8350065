import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.encoders.clip import (
    ClipImageEncoder,
    ClipTextEncoder,
    byte_pairs,
    load_clip,
    to_pixels,
    word_pieces,
)
from clipsonic_cli.encoders.tokenizers import TOKENIZER
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.images import square
from clipsonic_cli.models.clip import ClipConfig
from clipsonic_cli.store.bundle import load
from clipsonic_cli.types import Query


@pytest.fixture(scope="module")
def bundle(micro):
    return load(micro / "clip.safetensors", kind="clip")


@pytest.fixture(scope="module")
def clip(bundle):
    return load_clip(bundle)


def changed(bundle, weights=None, **config):
    header = dataclasses.replace(bundle.header, config={**bundle.header.config, **config})
    return dataclasses.replace(bundle, header=header, weights=weights or bundle.weights)


@pytest.mark.parametrize("size", [(300, 224), (640, 481), (224, 224), (97, 333), (50, 2000)])
def test_preprocessing_is_clips_own(size):
    open_clip = pytest.importorskip("open_clip")
    config = ClipConfig()
    theirs = open_clip.image_transform(224, is_train=False, mean=config.mean, std=config.std)
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    ours = to_pixels(np.array(square(image, 224))[None], config)[0]
    torch.testing.assert_close(ours, theirs(image), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(3, 100_001), (100_000, 3)])
def test_of_a_very_long_image_only_the_middle_is_resized(monkeypatch, size):
    image = Image.new("RGB", size, "red")
    image.paste("blue", tuple(n // 2 - 10 for n in size) + tuple(n // 2 + 10 for n in size))
    resize = Image.Image.resize

    def checked(image, size, *rest):
        assert max(size) <= 16 * 224  # before it is tried, for its size
        return resize(image, size, *rest)

    monkeypatch.setattr(Image.Image, "resize", checked)
    assert square(image, 224).getcolors() == [(224 * 224, (0, 0, 255))]


def test_images_and_texts_become_unit_vectors(clip, violin_picture):
    noise = SeededNoise([0, 1])
    image = ClipImageEncoder(clip)([Query(image=violin_picture)] * 2, noise=noise)
    text = ClipTextEncoder(clip)([Query(text="violin"), Query(text="cat")], noise=noise)
    for condition, space in ((image, "clip-image"), (text, "clip-text")):
        assert condition.space == space
        assert condition.encoder == clip.identity
        assert condition.embed.shape == (2, clip.dim)
        assert condition.embed.dtype == torch.float32
        torch.testing.assert_close(condition.embed.norm(dim=1), torch.ones(2))


def test_the_batch_around_a_query_changes_nothing(clip):
    alone, alone_encodings = clip.embed_text(["cat"])
    both, encodings = clip.embed_text(["a much longer text", "cat"])
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encodings[1:], alone_encodings, atol=1e-4, rtol=1e-3)


def test_many_images_are_the_same_as_one_at_a_time(clip):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(35)]
    seen = []
    embeds = clip.embed_images(images, report=lambda *progress: seen.append(progress))
    torch.testing.assert_close(embeds[33:34], clip.embed_images(images[33:34]))
    assert seen == [("image", 32, 35), ("image", 35, 35)]


def test_what_goes_beyond_the_longest_text_is_cut_off(clip):
    limit = clip.config.max_text_len
    with pytest.warns(UserWarning, match=f"CLIP reads {limit} of the 100 tokens of 'aaa"):
        cut, _ = clip.embed_text(["a" * 100])
    torch.testing.assert_close(cut, clip.embed_text(["a" * limit])[0])


def test_a_text_that_is_cut_is_reported_once_in_one_line_with_the_last_words_read(clip):
    text = "one\ntwo " + "three four " * 6 + "five"  # 5 times fit into 64 letters
    with pytest.warns(UserWarning, match="CLIP reads") as caught:
        clip.embed_text(["rain", text])
    (message,) = (str(warning.message) for warning in caught)
    assert message == (
        r"CLIP reads 64 of the 78 tokens of 'one\ntwo three four three...', "
        "up to 'four three four'; what follows changes nothing."
    )


def test_open_clips_tokens_are_counted_with_start_and_end():
    tokenizer = pytest.importorskip("open_clip").get_tokenizer("ViT-L-14-quickgelu")
    tokenize = byte_pairs(tokenizer, 77)
    assert tokenize(["violin " * 75])[0, -1] == tokenizer.eot_token_id
    with pytest.warns(UserWarning, match="reads 77 of the 78 tokens of 'violin"):
        cut = tokenize(["violin " * 76])
    assert torch.equal(cut, tokenize(["violin " * 75]))


@pytest.mark.parametrize("text", ["", "  \n", "?!"])
def test_a_prompt_without_words_is_rejected(clip, text):
    with pytest.raises(UsageError, match=r"is empty|has no word"):
        ClipTextEncoder(clip)([Query(text=text)], noise=SeededNoise([0]))


@pytest.mark.parametrize("text", ["雨の音", "🎻!", "\u4e00" * 100])
def test_a_prompt_of_which_no_word_is_known_is_rejected(clip, text):
    with pytest.raises(UsageError, match=r"none of the words in .*; use English words\.") as e:
        clip.embed_text(["violin", text])
    assert repr(text) in str(e.value)


def test_a_prompt_of_which_a_word_is_known_is_used(clip):
    embed, _ = clip.embed_text(["雨 rain"])
    assert embed.shape == (1, clip.dim)


def test_tokens_around_a_text_do_not_count_as_its_words():
    made = Tokenizer(WordLevel({"[UNK]": 0, "[CLS]": 1, "rain": 2}, unk_token="[UNK]"))
    made.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenize = word_pieces(made.to_str().encode(), 4)
    assert tokenize(["rain"]).tolist() == [[1, 2, 0, 0]]
    with pytest.raises(UsageError, match="none of the words in 'дождь'"):
        tokenize(["дождь"])


def test_each_encoder_rejects_the_other_kind_of_query(clip, violin_picture):
    noise = SeededNoise([0])
    with pytest.raises(ValueError, match="image queries only"):
        ClipImageEncoder(clip)([Query(text="cat")], noise=noise)
    with pytest.raises(ValueError, match="text queries only"):
        ClipTextEncoder(clip)([Query(image=violin_picture)], noise=noise)


def test_a_bundle_of_another_size_is_rejected(bundle):
    with pytest.raises(BadBundle, match="do not fit"):
        load_clip(changed(bundle, dim=bundle.header.config["dim"] + 1))


def test_a_config_of_another_shape_is_rejected(bundle):
    with pytest.raises(BadBundle, match="layers"):
        load_clip(changed(bundle, layers=7))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe"])
def test_a_damaged_tokenizer_is_rejected(bundle, content):
    tensor = torch.frombuffer(bytearray(content or b" "), dtype=torch.uint8)
    with pytest.raises(BadBundle, match="tokenizer is damaged"):
        load_clip(changed(bundle, {**bundle.weights, TOKENIZER: tensor}))


def test_a_missing_tokenizer_is_rejected(bundle):
    weights = {name: w for name, w in bundle.weights.items() if name != TOKENIZER}
    with pytest.raises(BadBundle, match="lacks its 'tokenizer'"):
        load_clip(changed(bundle, weights))


def test_the_papers_clip_is_built_by_open_clip_from_a_bundle(tmp_path):
    from clipsonic_cli.models.clip import build_clip
    from clipsonic_cli.models.optional import import_open_clip
    from clipsonic_cli.store.bundle import Bundle, Header

    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    described = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "small-quickgelu.json").write_text(json.dumps(described))
    import_open_clip().add_model_config(tmp_path)
    config = ClipConfig(architecture="small-quickgelu", dim=16, text_dim=16, image_size=32)
    weights = build_clip(config).state_dict()
    header = Header(kind="clip", config=dataclasses.asdict(config), encoder="small")
    clip = load_clip(Bundle(header=header, weights=weights))
    embed, encodings = clip.embed_text(["a photo of violin"])
    assert embed.shape == (1, 16)
    assert encodings.shape == (1, 77, 16)
    assert int(encodings.abs().amax(-1).count_nonzero()) == 6  # start, four words, end
