import dataclasses
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipsonic_cli import ClipSonic, pipeline, stages
from clipsonic_cli.audio.finish import fade_lengths
from clipsonic_cli.audio.mel import denormalize
from clipsonic_cli.config import NATIVE_FRAMES, TRAIN_FRAMES, MelSpec, Recipe
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.models.vocoders import InPieces
from clipsonic_cli.modes import MODES, negative_mode_for
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Query

FAST = {"steps": 2, "seconds": 0.5}


@pytest.fixture(scope="module")
def sonic(micro):
    return ClipSonic.load(micro, device="cpu")


def copied(micro, folder, *without):
    shutil.copytree(micro, folder, ignore=shutil.ignore_patterns(*without))
    return folder


def test_it_shows_its_model_and_where_it_runs(sonic):
    assert repr(sonic) == (
        f"ClipSonic(model={sonic.model!r}, device='cpu', dtype='float32', "
        f"vocoder='{sonic.vocoder}')"
    )


@given(st.floats(0.001, 600))
def test_frames_hold_the_seconds_and_no_frame_is_idle(seconds):
    spec = MelSpec()
    frames, samples = spec.frames(seconds), spec.samples(seconds)
    assert (frames - 1) * spec.hop_length < samples <= frames * spec.hop_length
    assert abs(samples / spec.sample_rate - seconds) <= 0.5 / spec.sample_rate


@pytest.mark.parametrize("seconds", [0.001, 0.1, 1.23456, 4.096, 4.0961, 5.3])
def test_a_sound_has_the_samples_requested(sonic, seconds):
    sound = sonic("rain", mode="zs", steps=1, seconds=seconds, seed=1)
    assert sound.samples.shape == (round(seconds * 16_000),)
    assert sound.samples.abs().max() <= 1


def test_a_seed_repeats_a_sound_and_another_does_not(sonic):
    first, again, other = (sonic("rain", seed=seed, **FAST).samples for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_a_drawn_seed_is_reported_by_the_recipe(sonic):
    sound = sonic("rain", mode="zs", **FAST)
    again = sonic("rain", mode="zs", seed=sound.recipe.seed, **FAST)
    assert torch.equal(sound.samples, again.samples)


@pytest.mark.parametrize("sampler", ["dpmpp", "unipc", "ddim", "ddpm"])
def test_a_batch_changes_a_sound_by_rounding_only(sonic, sampler):
    recipes = [
        Recipe(text=text, seed=seed, sampler=sampler, **FAST)
        for text, seed in (("rain", 1), ("a dog", 2), ("rain", 3))
    ]
    together = list(sonic.generate(recipes, batch_size=3))
    for one, recipe in zip(together, recipes, strict=True):
        alone = next(sonic.generate([recipe]))
        torch.testing.assert_close(one.samples, alone.samples, atol=1e-4, rtol=1e-3)
        assert one.recipe == alone.recipe


def test_minis_mel_is_that_of_its_seed_in_a_batch_up_to_rounding(monkeypatch):
    sonic, mels = ClipSonic.load("mini", device="cpu"), []
    monkeypatch.setattr(
        stages, "denormalize", lambda x_0, spec: mels.append(denormalize(x_0, spec)) or mels[-1]
    )
    recipes = [Recipe(text="dog", mode="db", seed=seed, **FAST) for seed in (1, 2, 3)]
    list(sonic.generate(recipes, batch_size=None))
    list(sonic.generate(recipes))
    together, *alone = mels
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("seconds", "size", "batches"),
    [(4, None, [4, 4, 2]), (5, None, [3, 3, 3, 1]), (600, None, [1] * 10), (600, 7, [7, 3])],
)
def test_batches_of_no_given_size_are_bounded_in_sounds_and_seconds(seconds, size, batches):
    recipes = [Recipe(text="rain", seconds=seconds, seed=seed) for seed in range(10)]
    assert [len(batch) for batch in pipeline.batched(recipes, size)] == batches


def test_what_fails_takes_no_other_sound_of_its_batch_with_it(sonic, violin_picture, tmp_path):
    lost = shutil.copy(violin_picture, tmp_path)
    images = [violin_picture, violin_picture, lost]
    recipes = [Recipe(image=str(image), mode="iq", seed=1, **FAST) for image in images]
    sounds = sonic.generate(recipes, batch_size=None)
    (tmp_path / violin_picture.name).unlink()
    alone = next(sonic.generate(recipes[:1]))
    assert all(torch.equal(next(sounds).samples, alone.samples) for _ in range(2))
    with pytest.raises(UsageError, match=r"violin.*"):
        next(sounds)


def test_a_batch_that_does_not_fit_is_made_one_by_one_and_said(sonic, monkeypatch, caplog):
    recipes = [Recipe(text="rain", mode="zs", seed=seed, **FAST) for seed in (1, 2)]
    alone, whole = list(sonic.generate(recipes)), ClipSonic._generate_batch

    def bounded(self, batch, report):
        if len(batch) > 1:
            raise torch.OutOfMemoryError
        return whole(self, batch, report)

    monkeypatch.setattr(ClipSonic, "_generate_batch", bounded)
    made = list(sonic.generate(recipes, batch_size=None))
    assert all(a.samples.equal(b.samples) for a, b in zip(made, alone, strict=True))
    assert "2 sounds at once need more memory than cpu has" in caplog.text


def test_recipes_of_all_kinds_come_back_in_order(sonic, violin_picture):
    recipes = [
        Recipe(text="rain", seed=1, mode="zs", **FAST),
        Recipe(image=str(violin_picture), mode="iq", seed=2, **FAST),
        Recipe(text="rain", seed=3, mode="zs", guidance=2, **FAST),
        Recipe(text="rain", seed=4, mode="zs", **FAST),
    ]
    sounds = list(sonic.generate(recipes, batch_size=4))
    assert [sound.recipe.seed for sound in sounds] == [1, 2, 3, 4]
    assert [sound.recipe.mode for sound in sounds] == ["zs", "iq", "zs", "zs"]


def test_w_zero_ignores_the_query_and_w_one_does_not(sonic):
    def sound(text, w):
        return sonic(text, mode="zs", guidance=w, seed=1, **FAST).samples

    assert torch.equal(sound("rain", 0), sound("a dog", 0))
    assert not torch.allclose(sound("rain", 1), sound("a dog", 1), atol=1e-4)


def test_the_interval_is_plain_conditioning_outside_it_and_costs_half(sonic):
    """Two steps are at the most noise and the least."""
    unet, rows = sonic.parts.denoiser("unet").unet, []
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    plain, limited, full = (
        sonic("rain", mode="zs", guidance=w, guidance_rule=rule, seed=1, **FAST)
        for w, rule in ((1, "constant"), (3, "interval"), (3, "constant"))
    )
    hook.remove()
    assert rows == [1, 1, 1, 1, 2, 2]
    assert torch.equal(limited.samples, plain.samples)
    assert not torch.equal(full.samples, plain.samples)
    assert limited.recipe.guidance_rule == "interval"


def test_steering_away_from_the_query_itself_leaves_plain_conditioning(sonic):
    # uncond + w (cond - uncond) with uncond = cond
    plain = sonic("rain", mode="zs", guidance=1, seed=1, **FAST)
    steered = sonic("rain", mode="zs", guidance=3, negative="rain", seed=1, **FAST)
    torch.testing.assert_close(steered.samples, plain.samples, atol=1e-4, rtol=1e-3)


def test_a_negative_leaves_the_noise_as_it_was(sonic):
    # w = 1 has no use for a negative
    free, avoiding = (
        sonic("rain", guidance=1, negative=negative, seed=1, **FAST).samples
        for negative in (None, "voices")
    )
    assert torch.equal(free, avoiding)


def test_candidates_are_the_recipes(sonic):
    for candidates in (1, 3):
        recipe = Recipe(text="rain", candidates=candidates, **FAST)
        next(sonic.generate([recipe]))
        assert sonic.parts.encoder(MODES["pd"], candidates=candidates).candidates == candidates


def test_a_negative_may_be_of_the_other_kind(sonic, violin_picture):
    for query, negative in ((violin_picture, "rain"), ("rain", violin_picture)):
        free = sonic(query, seed=1, **FAST)
        steered = sonic(query, negative=negative, seed=1, **FAST)
        assert not torch.allclose(free.samples, steered.samples, atol=1e-4)


def test_a_negative_that_the_u_net_cannot_read_is_rejected():
    with pytest.raises(UsageError, match="cannot steer away from an image"):
        negative_mode_for(MODES["clip-tta"], "image")
    assert negative_mode_for(MODES["clip-tta"], "text").name == "clip-tta"
    assert negative_mode_for(MODES["iq"], "text").name == "pd"
    assert negative_mode_for(MODES["sd"], "image").name == "iq"


def test_beyond_the_native_length_the_u_net_sees_windows(sonic):
    unet = sonic.parts.denoiser("unet").unet
    widths = []
    hook = unet.register_forward_pre_hook(lambda _, arguments: widths.append(arguments[0].shape))
    sonic("rain", mode="zs", steps=1, seconds=12.0, seed=1)
    hook.remove()
    assert {shape[-1] for shape in widths} == {NATIVE_FRAMES}
    assert len(widths) == 5  # 376 frames: every 64, and one that ends with the sound


def test_long_mels_are_vocoded_in_pieces_without_seams(sonic):
    vocoder = sonic.parts.vocoder("bigvgan", MelSpec()).vocoder
    mel = torch.randn(2, 1, 64, 70, generator=torch.Generator().manual_seed(0)) * 2 - 5
    whole = vocoder(mel)
    pieces = InPieces(vocoder, frames=16, margin=32)(mel)
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(pieces, whole, atol=1e-6, rtol=1e-4)
    assert torch.equal(InPieces(vocoder, margin=32, frames=70)(mel), whole)


def test_stages_report_their_progress(sonic):
    seen = []
    sonic("rain", steps=3, seconds=0.5, seed=99, report=lambda *progress: seen.append(progress))
    assert [row for row in seen if row[0] == "sample"] == [("sample", i, 3) for i in (1, 2, 3)]
    assert ("prior", 64, 64) in seen
    assert seen[-1] == ("vocode", 1, 1)


def test_only_what_a_mode_needs_is_read(micro, tmp_path, violin_picture):
    bare = ClipSonic.load(copied(micro, tmp_path / "bare", "prior*", "vocoder*"))
    assert (bare.vocoder, "no trained vocoder" in bare.vocoder_reason) == ("griffin-lim", True)
    assert bare(violin_picture, seed=1, **FAST).recipe.vocoder == "griffin-lim"
    with pytest.raises(MissingWeights, match=r"lacks prior\.safetensors"):
        bare("rain", **FAST)
    with pytest.raises(MissingWeights, match=r"lacks vocoder\.safetensors"):
        ClipSonic.load(tmp_path / "bare", vocoder="bigvgan")(violin_picture)


@pytest.mark.parametrize(
    ("labels", "text", "nearest"),
    [
        (["dog", "cat"], "a barking DOG", None),  # which names one
        (["dog", "cat"], "two cats", None),
        (["violin"], "fiddle", "violin"),
        (["\udcff"], "fiddle", None),  # cannot be embedded
        ([], "fiddle", None),
        (7, "fiddle", None),
    ],
)
def test_a_text_without_a_known_label_has_a_nearest_one(micro, tmp_path, labels, text, nearest):
    folder = copied(micro, tmp_path / "m")
    part = bundle.load(folder / "unet.safetensors", kind="unet")
    header = dataclasses.replace(part.header, meta={"labels": labels})
    bundle.write(folder / "unet.safetensors", dataclasses.replace(part, header=header))
    near = ClipSonic.load(folder, device="cpu").parts.nearness(Query(text=text), MODES["zs"])
    assert next(iter(near.nearest if near else ()), None) == nearest
    if near:  # there are no frames to measure by, but a text that names a label is known
        assert near.far is (None if nearest else False)


def test_an_image_has_a_nearest_label_where_labels_are_listed(micro, violin_picture):
    mini = ClipSonic.load("mini", device="cpu").parts
    near = mini.nearness(Query(image=violin_picture), MODES["iq"])
    assert len(near.nearest) == 3
    assert {*near.nearest} <= {*bundle.labels_of(mini.header("unet"))}
    unlisted = ClipSonic.load(micro, device="cpu").parts
    assert unlisted.nearness(Query(image=violin_picture), MODES["iq"]) is None


def test_words_of_other_languages_are_split():
    parts = ClipSonic.load("mini", device="cpu").parts
    texts = ["Hund", "Geige", "perro", "kitten", "a rainy street"]
    assert [parts.splits_words(text) for text in texts] == [True, True, True, False, False]


@pytest.mark.parametrize(("text", "nearest"), [("kitten", "cat"), ("fiddle", "violin")])
def test_mini_finds_the_label_that_is_meant(text, nearest):
    near = ClipSonic.load("mini", device="cpu").parts.nearness(Query(text=text), MODES["pd"])
    assert next(iter(near.nearest)) == nearest
    assert not near.far


@pytest.mark.parametrize(
    ("meta", "name", "reason"),
    [
        (
            {"default_vocoder": "griffin-lim", "scores": {}},
            "griffin-lim",
            "the model's default, which scored better",
        ),
        ({"default_vocoder": "bigvgan"}, "bigvgan", "the model's default"),
        (
            {},
            "griffin-lim",
            "the default, as bigvgan was not compared with it; `vocoder` bigvgan plays it",
        ),
    ],
)
def test_a_trained_vocoder_is_the_default_only_where_its_part_says_so(
    micro, tmp_path, meta, name, reason
):
    from clipsonic_cli.store import bundle

    folder = copied(micro, tmp_path / "scored")
    part = bundle.load(folder / "vocoder.safetensors", kind="vocoder")
    header = dataclasses.replace(part.header, meta=meta)
    bundle.write(folder / "vocoder.safetensors", dataclasses.replace(part, header=header))
    sonic = ClipSonic.load(folder)
    assert (sonic.vocoder, sonic.vocoder_reason) == (name, reason)
    assert ClipSonic.load(folder, vocoder="bigvgan").vocoder == "bigvgan"


def test_parts_of_different_geometry_are_rejected(micro, tmp_path):
    from clipsonic_cli.store import bundle

    folder = copied(micro, tmp_path / "mixed")
    part = bundle.load(folder / "vocoder.safetensors", kind="vocoder")
    header = dataclasses.replace(part.header, mel=MelSpec(n_fft=1024))
    bundle.write(folder / "vocoder.safetensors", dataclasses.replace(part, header=header))
    with pytest.raises(BadBundle, match="n_fft 2048, the vocoder reads n_fft 1024"):
        ClipSonic.load(folder)("rain", **FAST)


def test_weights_of_another_network_are_rejected(micro, tmp_path):
    from clipsonic_cli.store import bundle

    folder = copied(micro, tmp_path / "torn")
    part = bundle.load(folder / "unet.safetensors", kind="unet")
    weights = {name: w for name, w in part.weights.items() if name != "null_cond"}
    bundle.write(folder / "unet.safetensors", dataclasses.replace(part, weights=weights))
    with pytest.raises(BadBundle, match=r"weights of .unet. do not fit.*null_cond"):
        ClipSonic.load(folder)("rain", mode="zs", **FAST)


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
def test_a_file_gives_its_recipe_back(sonic, tmp_path, name, violin_picture):
    sound = sonic('дождь, "rain"\n🌧', mode="zs", negative=violin_picture, **FAST)
    assert read_recipe(sound.write(tmp_path / name)) == sound.recipe
    assert sound.recipe.negative_image_sha256
    assert sound.recipe.model_id


def test_a_recipe_is_complete_after_a_run(sonic, micro, violin_picture):
    recipe = sonic(violin_picture, seed=1, **FAST).recipe
    assert recipe.model == str(micro)
    assert (recipe.device, recipe.dtype, recipe.vocoder) == ("cpu", "float32", "bigvgan")
    assert next(sonic.generate([recipe])).recipe == recipe


def test_more_steps_than_the_model_was_trained_on_are_rejected(micro, tmp_path):
    from clipsonic_cli.store import bundle

    folder = copied(micro, tmp_path / "short")
    part = bundle.load(folder / "unet.safetensors", kind="unet")
    diffusion = dataclasses.replace(part.header.diffusion, train_steps=100)
    header = dataclasses.replace(part.header, diffusion=diffusion)
    bundle.write(folder / "unet.safetensors", dataclasses.replace(part, header=header))
    with pytest.raises(UsageError, match="trained on 100"):
        ClipSonic.load(folder)("rain", mode="zs", steps=101)


def unit_vectors(count, dim=32):
    vectors = torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(vectors, dim=-1)


def test_the_vocoder_of_another_kind_is_rejected_before_weights_are_read(micro, micro_vocos):
    for model, name, other in ((micro, "vocos", "bigvgan"), (micro_vocos, "bigvgan", "vocos")):
        sonic = ClipSonic.load(model, device="cpu")
        assert sonic.vocoder == other
        recipe = Recipe(text="rain", mode="pd", vocoder=name, **FAST)
        with pytest.raises(UsageError, match=f"is {other}, not {name}. Choose `vocoder` {other}"):
            sonic.check(recipe)
        assert not any(what == "denoiser" for what, *_ in sonic.parts._kept)


def test_rendered_vectors_sound_as_their_query_does(sonic, violin_picture):
    recipe = Recipe(image=str(violin_picture), mode="iq", seed=5, **FAST)
    queries = [recipe.query]
    embed = sonic.parts.encoder(MODES["iq"], candidates=2)(queries, noise=SeededNoise([5])).embed
    rendered = sonic.render(Recipe(mode="iq", **FAST), embed, [5])
    generated = next(sonic.generate([recipe]))
    torch.testing.assert_close(rendered[0].samples, generated.samples, atol=1e-5, rtol=1e-4)
    assert not hasattr(rendered[0], "recipe")  # which the vector is no part of


@pytest.mark.parametrize(
    ("fields", "rows", "complaint"),
    [
        ({"sampler": "ddin"}, 2, "Unknown sampler 'ddin'"),
        ({"mode": "iqq"}, 2, "Unknown mode 'iqq'"),
        ({"vocoder": "hifigan"}, 2, "Unknown vocoder 'hifigan'"),
        ({"text": "rain"}, 2, "has text, but render takes vectors"),
        ({"negative": "rain"}, 2, "has negative, but render takes vectors"),
        ({}, 3, r"shape \(3, 32\); 2 seeds and mode 'iq' need \(2, 32\)"),
    ],
)
def test_what_cannot_be_rendered_is_rejected_before_weights_are_read(
    micro, fields, rows, complaint
):
    sonic = ClipSonic.load(micro, device="cpu")
    recipe = Recipe(**{"mode": "iq", **FAST, **fields})
    with pytest.raises(UsageError, match=complaint):
        sonic.render(recipe, unit_vectors(rows), [1, 2])
    assert not any(what == "denoiser" for what, _ in sonic.parts._kept)


def test_rendering_needs_no_encoder_but_the_u_net(micro, tmp_path):
    bare = ClipSonic.load(copied(micro, tmp_path / "bare", "clip*", "prior*"), device="cpu")
    assert len(bare.render(Recipe(mode="pd", **FAST), unit_vectors(2), [1, 2])) == 2
    (tmp_path / "bare" / "unet.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"lacks unet\.safetensors"):
        bare.render(Recipe(mode="pd", **FAST), unit_vectors(1), [1])


@pytest.mark.parametrize("what", ["check", "prepare"])
@pytest.mark.parametrize(
    "fields", [{n: "xx"} for n in ("mode", "guidance_rule", "sampler", "vocoder")]
)
def test_an_unknown_name_is_a_usage_error_whatever_is_asked(sonic, what, fields):
    with pytest.raises(UsageError, match=r"Unknown [\w ]+ 'xx'"):
        getattr(sonic, what)(Recipe(**{"text": "rain", **fields}))


def test_bfloat16_is_near_float32(micro, sonic):
    half = ClipSonic.load(micro, device="cpu", dtype="bfloat16")
    exact, rough = (s("rain", mode="zs", seed=1, **FAST) for s in (sonic, half))
    assert rough.recipe.dtype == "bfloat16"
    assert 0 < (exact.samples - rough.samples).abs().max() < 0.1


def test_minis_mel_in_bfloat16_is_within_half_a_decibel_on_average(monkeypatch):
    mels = []
    monkeypatch.setattr(
        stages, "denormalize", lambda x_0, spec: mels.append(denormalize(x_0, spec)) or mels[-1]
    )
    for dtype in ("float32", "bfloat16"):
        mini = ClipSonic.load("mini", device="cpu", dtype=dtype)
        mini("a photo of violin", mode="db", seed=1, **FAST)
    exact, rough = mels
    assert 0 < 20 / np.log(10) * (exact - rough).abs().mean() < 0.5


@pytest.fixture
def rewritten(micro, tmp_path):
    """Return a copy of micro with other values in fields of one part's config."""
    from clipsonic_cli.store import bundle

    def rewritten(name, **fields):
        folder = copied(micro, tmp_path / "rewritten")
        part = bundle.load(folder / f"{name}.safetensors", kind=name)
        if isinstance(part.header.config, dict):
            config = part.header.config | fields
        else:
            config = dataclasses.replace(part.header.config, **fields)
        header = dataclasses.replace(part.header, config=config)
        bundle.write(folder / f"{name}.safetensors", dataclasses.replace(part, header=header))
        return ClipSonic.load(folder, device="cpu")

    return rewritten


@pytest.mark.parametrize(
    ("part", "fields", "complaint"),
    [
        ("unet", {"channels": 33}, "'unet' describes a network that cannot be built.*multiples"),
        ("unet", {"num_heads": 1000}, "'unet' describes .* num_heads 1000 does not divide"),
        ("unet", {"dropout": 7.0}, "'unet' describes .* dropout"),
        ("unet", {"channels": 8192, "num_res_blocks": 16}, "weights of 'unet' do not fit"),
        ("prior", {"dim_head": 1}, "weights of 'prior' do not fit"),
        ("prior", {"depth": 128, "dim_head": 1024, "heads": 1024}, "weights of 'prior' do not fit"),
        ("vocoder", {"upsample_rates": (8, 8)}, "'vocoder' describes .* multiply to 64"),
        ("vocoder", {"channels": 8192}, "weights of 'vocoder' do not fit"),
        ("clip", {"dim": 64}, "weights of 'clip' do not fit"),
    ],
)
def test_a_header_of_no_or_an_enormous_network_is_a_bad_bundle(rewritten, part, fields, complaint):
    with pytest.raises(BadBundle, match=complaint):
        rewritten(part, **fields)("rain", mode="zs" if part == "unet" else "pd", **FAST)


def test_a_vocoder_named_as_default_must_be_one(micro, tmp_path):
    from clipsonic_cli.store import bundle

    folder = copied(micro, tmp_path / "odd")
    part = bundle.load(folder / "vocoder.safetensors", kind="vocoder")
    header = dataclasses.replace(part.header, meta={"default_vocoder": ["x"]})
    bundle.write(folder / "vocoder.safetensors", dataclasses.replace(part, header=header))
    with pytest.raises(BadBundle, match=r"names .* as the default; known: bigvgan"):
        ClipSonic.load(folder)


def test_the_u_nets_convolutions_are_channels_last(sonic):
    weights = [w for w in sonic.parts.denoiser("unet").unet.parameters() if w.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_a_vocoder_is_kept_for_one_geometry(sonic):
    first, again, other = (
        sonic.parts.vocoder("griffin-lim", spec)
        for spec in (MelSpec(), MelSpec(), MelSpec(hop_length=256))
    )
    assert first is again
    assert [one.vocoder.spec.hop_length for one in (first, other)] == [512, 256]


@pytest.mark.parametrize(
    ("sampler", "requested", "steps"), [("unipc", None, 8), ("ddpm", None, 1000), ("ddpm", 7, 7)]
)
def test_steps_not_given_are_the_samplers(sonic, monkeypatch, sampler, requested, steps):
    monkeypatch.setattr(ClipSonic, "generate", lambda _, recipes, **__: iter(recipes))
    assert sonic("rain", sampler=sampler, steps=requested).steps == steps


def test_a_recipe_names_a_model_as_it_was_given(micro, tmp_path, monkeypatch):
    copied(micro, tmp_path / "models" / "own")
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "models")
    recipe = Recipe(text="rain", mode="zs")
    models = [ClipSonic.load(m).check(recipe).model for m in ("own", tmp_path / "models" / "own")]
    assert models == ["own", "own"]
    copied(micro, tmp_path / "else" / "where")
    monkeypatch.chdir(tmp_path)
    assert ClipSonic.load("else/where").check(recipe).model == "else/where"


@pytest.mark.parametrize(
    "query",
    [None, 5, b"dog", ["dog"], np.zeros((4, 4, 3)), torch.zeros(3, 4, 4), Image.new("L", (4, 4))],
    ids=lambda query: type(query).__name__,
)
def test_what_is_neither_text_nor_a_path_is_rejected_in_one_line(sonic, query):
    with pytest.raises(UsageError, match=r"must be text \(str\) or the path of an image") as caught:
        sonic(query)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_numbers_and_texts_of_numpy_make_a_sound_whose_recipe_is_plain(sonic, tmp_path):
    sound = sonic(
        np.str_("dog"),
        mode="zs",
        guidance=np.float32(1.5),
        steps=np.int64(2),
        seconds=np.float64(0.3),
        seed=np.uint8(5),
    )
    assert read_recipe(sound.write(str(tmp_path / "a.wav"))) == sound.recipe
    assert sound.recipe.seed == 5
    with pytest.raises(UsageError, match="it must be a str or a Path"):
        sound.write(5)


@pytest.mark.parametrize(
    "choice",
    [
        *({"steps": 2.5}, {"seed": True}, {"seed": -1}, {"seconds": "4"}, {"guidance": 1j}),
        *({"mode": 5}, {"mode": ["zs"]}, {"sampler": []}, {"sampler": b"ddim"}),
    ],
)
def test_a_choice_of_another_type_is_rejected_by_name(sonic, choice):
    with pytest.raises(UsageError, match=next(iter(choice))):
        sonic("dog", **choice)


@pytest.mark.parametrize("mode", ["zs", "pd"])
@pytest.mark.parametrize("texts", [{"text": "собака"}, {"text": "rain", "negative": "собака"}])
def test_texts_without_a_known_word_are_rejected_before_weights_are_loaded(micro, mode, texts):
    sonic = ClipSonic.load(micro, device="cpu")
    recipes = [Recipe(text="rain", mode=mode, seed=1), Recipe(mode=mode, seed=1, **texts)]
    with pytest.raises(UsageError, match="knows none of the words in 'собака'; use English"):
        sonic.generate(recipes)
    assert not {key[0] for key in sonic.parts._kept} & {"network", "denoiser", "encoder"}


def test_recipes_may_be_any_iterable_and_are_checked_before_the_first_sound(sonic):
    recipe = Recipe(text="dog", mode="zs", steps=2, seconds=0.3)
    assert len(list(sonic.generate(one for one in (recipe, recipe)))) == 2
    assert list(sonic.generate([])) == list(sonic.generate(())) == []
    for wrong in (recipe, "dog", None, [recipe, "dog"], [None]):
        with pytest.raises(UsageError, match=r"recipes(\[\d\] is| are)"):
            sonic.generate(wrong)
    for size in (0, -1, 1.5, True, 10**9):
        with pytest.raises(UsageError, match="batch_size is"):
            sonic.generate([recipe], batch_size=size)


def test_a_device_and_a_dtype_of_torch_are_taken(micro):
    loaded = ClipSonic.load(micro, device=torch.device("cpu"), dtype=torch.bfloat16)
    assert (loaded.parts.device.type, loaded.parts.dtype) == ("cpu", torch.bfloat16)


@pytest.mark.parametrize("vocoder", ["bigvgan", "griffin-lim"])
@pytest.mark.parametrize("seconds", [0.001, 0.3, 1.1])
def test_a_short_sound_is_part_of_the_training_windows_of_its_seed(
    micro, monkeypatch, seconds, vocoder
):
    monkeypatch.setattr(stages, "faded", lambda samples, _: samples)
    sonic = ClipSonic.load(micro, device="cpu", vocoder=vocoder)
    short, whole = (
        sonic("rain", mode="zs", steps=2, seed=4, seconds=length).samples
        for length in (seconds, MelSpec().seconds(TRAIN_FRAMES))
    )
    places = whole.unfold(0, len(short), MelSpec().hop_length)
    assert (places == short).all(dim=1).any()


@pytest.mark.parametrize("seconds", [0.001, 0.5, 2.2])
def test_a_sound_is_faded_at_its_ends_and_nowhere_else(sonic, monkeypatch, seconds):
    def make():
        return sonic("rain", mode="zs", steps=1, seed=4, seconds=seconds).samples

    sound = make()
    monkeypatch.setattr(stages, "faded", lambda samples, _: samples)
    cut, (first, last) = make(), fade_lengths(len(sound), 16_000)
    assert sound[0] == sound[-1] == 0
    assert cut[0] != 0 != cut[-1]
    assert torch.equal(sound[first:-last], cut[first:-last])


@pytest.mark.parametrize(
    ("meta", "window"),
    [
        ({}, 64),
        ({"settings": {}}, 64),
        ({"settings": {"window": 24}}, 24),
        ({"settings": None}, 64),
    ],
)
def test_no_sound_is_sampled_on_less_than_the_u_net_was_trained_on(micro, tmp_path, meta, window):
    sonic = of_meta(micro, tmp_path, meta)
    unet = sonic.parts.denoiser("unet").unet
    widths = []
    unet.register_forward_pre_hook(lambda _, arguments: widths.append(arguments[0].shape[-1]))
    for seconds in (0.1, 2.5):
        sonic("rain", mode="zs", steps=1, seconds=seconds, seed=1)
    assert widths == [window, 80]


def test_long_sounds_are_sampled_in_windows_of_the_training_where_those_are_longer(micro, tmp_path):
    sonic = of_meta(micro, tmp_path, {"settings": {"window": 160}})
    unet = sonic.parts.denoiser("unet").unet
    widths = []
    unet.register_forward_pre_hook(lambda _, arguments: widths.append(arguments[0].shape[-1]))
    sonic("rain", mode="zs", steps=1, seconds=7.0, seed=1)  # 219 frames
    assert widths == [160, 160]


@pytest.mark.parametrize("window", [0, -8, 10**9, "64", 64.0, True, None])
def test_a_training_window_that_cannot_be_is_a_bad_bundle(micro, tmp_path, window):
    with pytest.raises(BadBundle, match=r"trained on .* frames; allowed: 1 to 16384"):
        of_meta(micro, tmp_path, {"settings": {"window": window}})("rain", mode="zs", **FAST)


def of_meta(micro, tmp_path, meta):
    """Returns micro with what its U-Net's file says of the training."""
    from clipsonic_cli.store import bundle

    folder = copied(micro, tmp_path / "trained")
    part = bundle.load(folder / "unet.safetensors", kind="unet")
    header = dataclasses.replace(part.header, meta=meta)
    bundle.write(folder / "unet.safetensors", dataclasses.replace(part, header=header))
    return ClipSonic.load(folder, device="cpu")
