import dataclasses
import json
from pathlib import Path

import pytest

from clipsonic_cli.config import (
    DiffusionConfig,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
    VocosConfig,
)
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.store.model_folders import RUN_FILE
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import deviation_for
from clipsonic_cli.training.run_config import (
    Extensions,
    RunConfig,
    read_run_config,
    write_run_config,
)
from clipsonic_cli.training.stages import STAGES
from clipsonic_cli.training.vocoder_stage import VOCODER_ROWS

SETTINGS = RunConfig(
    name="music",
    data="./music",
    catalogue="/somewhere/catalogue-0.jsonl",
    stage="unet",
    space="clip-image",
    warm_start=None,
    network=UNetConfig(dropout=0.1),
    diffusion=DiffusionConfig(prediction="v"),
    train=TrainConfig(micro_batch=4, betas=(0.8, 0.99), clip_norm=1.0),
    extensions=Extensions(window=128, min_snr=5.0),
    prompts=("a photo of cello", "пение"),
    images=("samples/queries/frame-1.png",),
    trackers=("tensorboard",),
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stage": "prior", "network": PriorConfig(depth=3)},
        {"stage": "vocoder", "network": VocoderConfig(channels=16), "diffusion": None},
        {"stage": "vocoder", "network": VocosConfig(width=16), "diffusion": None},
        {"space": "clap-text", "warm_start": "mini", "licence": "CC0"},
    ],
)
def test_what_is_written_is_read(tmp_path, changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    write_run_config(tmp_path, settings)
    assert read_run_config(tmp_path) == settings


def test_a_folder_without_a_run_is_reported_with_the_next_step(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run \(run\.json is missing\).*--data FOLDER"):
        read_run_config(tmp_path)


@pytest.mark.parametrize("given", ["music", "runs/music/model"])
def test_the_run_is_suggested_for_its_name_and_its_model(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    Path("runs/music").mkdir(parents=True)
    write_run_config(Path("runs/music"), SETTINGS)
    with pytest.raises(UsageError, match=r"Did you mean 'runs/music'\?"):
        read_run_config(Path(given))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 5}, "format 5, this clipsonic reads 1 to 4"),
        ({"name": 3}, "run.name is 3, not of type str"),
        ({"stage": "vocal"}, "allowed: unet, student, prior"),
        (
            {"stage": "prior", "space": "clap-text"},
            "is conditioned on clip-image, not on clap-text",
        ),
        ({"surplus": 1}, "unknown field 'surplus'; known: "),
        ({"network": {"channels": 4}}, "none of"),
    ],
)
def test_settings_of_another_shape_are_rejected(tmp_path, change, reason):
    write_run_config(tmp_path, SETTINGS)
    loaded = json.loads((tmp_path / RUN_FILE).read_text()) | change
    (tmp_path / RUN_FILE).write_text(json.dumps(loaded))
    with pytest.raises(ClipsonicError, match=reason) as caught:
        read_run_config(tmp_path)
    assert "Begin another run" in str(caught.value)


def rewrite(folder, version, deviation):
    """Rewrite the settings of a run as format 1, 2 or 3 has them."""
    stored = json.loads((folder / RUN_FILE).read_text(encoding="utf-8")) | {"format": version}
    del stored["beyond"]["critics_from"]
    if version < 3:
        stored["beyond"]["cond_noise"] = deviation
        del stored["beyond"]["cond_cosine"], stored["beyond"]["crops"]
    if version == 1:
        del stored["preset"]
        for name in ("decayed", "ema_warmup", "prior_dropout", "publish", "publish_dtype"):
            del stored["train"][name]
    (folder / RUN_FILE).write_text(json.dumps(stored), encoding="utf-8")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_settings_of_a_run_of_an_older_version_are_read(tmp_path, version):
    write_run_config(tmp_path, SETTINGS)
    rewrite(tmp_path, version, 0.0)
    assert read_run_config(tmp_path) == SETTINGS


def test_an_older_run_goes_on_with_the_noise_it_began_with(tmp_path):
    write_run_config(tmp_path, SETTINGS)
    rewrite(tmp_path, 2, 0.126)
    cosine = read_run_config(tmp_path).extensions.cond_cosine
    assert deviation_for(cosine, SETTINGS.network.cond_dim) == pytest.approx(0.126, rel=1e-12)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 1}'])
def test_a_damaged_file_is_rejected(tmp_path, content):
    (tmp_path / RUN_FILE).write_text(content)
    with pytest.raises(ClipsonicError, match="cannot be used"):
        read_run_config(tmp_path)


PARTS = {(stage, space): part for stage, row in STAGES.items() for space, part in row.parts.items()}


def test_every_stage_and_condition_makes_a_part_of_its_own():
    assert len({part.name for part in PARTS.values()}) == len(PARTS)
    assert SETTINGS.part.name == "unet"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", 0),
        ("window", 100),
        ("mean_of", 0),
        ("crops", -1),
        ("crops", 16),
        ("cond_cosine", 0.0),
        ("cond_cosine", 1.1),
        ("cond_cosine", float("nan")),
        ("min_snr", 0.0),
        ("min_snr", float("inf")),
    ],
)
def test_numbers_out_of_range_are_named(field, value):
    with pytest.raises(UsageError, match=f"`{field}` is .*must be"):
        Extensions(**{field: value})


def test_all_that_is_beyond_the_paper_has_a_meaning_somewhere():
    parts = [*PARTS.values(), *(row.parts["clip-image"] for row in VOCODER_ROWS.values())]
    applying = frozenset().union(*(part.extensions for part in parts))
    assert applying == {field.name for field in dataclasses.fields(Extensions)}
    for stage, space in PARTS:
        Extensions().check(stage, space)


@pytest.mark.parametrize(
    ("extensions", "stage", "space", "reason"),
    [
        (
            Extensions(window=128),
            "vocoder",
            "clip-image",
            "stage 'vocoder', but for: student, unet",
        ),
        (Extensions(multi_scale=True), "unet", "clip-image", "stage 'unet', but for: vocoder"),
        (Extensions(zero_snr=True), "vocoder", "clip-image", "but for: prior, unet"),
        (Extensions(mean_of=3), "unet", "clip-text", "condition 'clip-text', but for: clip-image"),
    ],
)
def test_what_would_change_nothing_is_rejected(extensions, stage, space, reason):
    with pytest.raises(UsageError, match=reason):
        extensions.check(stage, space)
