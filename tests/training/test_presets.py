import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clipsonic_cli.config import (
    DiffusionConfig,
    PriorConfig,
    UNetConfig,
    VocoderConfig,
    VocosConfig,
)
from clipsonic_cli.device import cores
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.training import presets
from clipsonic_cli.training.presets import Machine, this_machine
from clipsonic_cli.training.request import Resolved, Source, TrainRequest
from clipsonic_cli.training.stages import STAGES, size_of
from clipsonic_cli.training.warm_start import WarmStart

CPU = Machine(device="cpu", name="2 cores")
GPU = Machine(device="cuda", name="GPU", memory=24 * 10**9, bfloat16=True)
MUSIC, VGGSOUND = 1000, 170_000
CLIP = {"dim": 768, "text_dim": 768, "max_text_len": 77}


def choose(preset, stage, machine, clips, *, encoder=CLIP, start=None, **wanted):
    """Return the configuration, and the reasons, of a training with little asked for."""
    request = TrainRequest(
        source=Source(data="music"), name="music", preset=preset, stage=stage, **wanted
    )
    resolved = Resolved(
        base=ModelFolder(Path("nowhere")),
        encoder=Header(kind="clip", config=encoder, encoder="clip"),
        warm_start=start,
    )
    return presets.choose(request, resolved, machine, catalogue="catalogue", clips=clips)


@pytest.mark.parametrize(("clips", "steps"), [(MUSIC, 200_000), (VGGSOUND, 500_000)])
@pytest.mark.parametrize("machine", [CPU, GPU])
def test_the_papers_unet_is_section_3(clips, steps, machine):
    chosen, _ = choose("paper", "unet", machine, clips)
    assert chosen.network == UNetConfig()
    assert chosen.diffusion == DiffusionConfig(
        train_steps=4000, schedule="cosine", prediction="eps", variance="learned_range"
    )
    train = chosen.train
    assert (train.steps, train.batch_size, train.lr) == (steps, 32, 1e-4)
    assert (train.betas, train.weight_decay, train.lr_decay) == ((0.9, 0.999), 0, 1)
    assert (train.ema_decay, train.precision, train.compile) == (0.9999, "float32", False)
    assert (train.warmup, train.clip_norm) == (0, None)


def test_the_papers_prior_is_appendix_a():
    chosen, _ = choose("paper", "prior", GPU, VGGSOUND)
    assert chosen.network == PriorConfig(attention="softmax_bias128")
    assert chosen.diffusion == DiffusionConfig(
        train_steps=1000, prediction="x0", variance="fixed", clip_x0=False
    )
    train = chosen.train
    assert (train.steps, train.batch_size, train.lr) == (200_000, 32, 1e-4)
    assert (train.weight_decay, train.ema_decay) == (0.06, 0.9999)


def test_the_papers_vocoder_is_trained_as_the_first_bigvgan():
    chosen, _ = choose("paper", "vocoder", GPU, 3200)
    train = chosen.train
    assert (chosen.network, chosen.diffusion) == (VocoderConfig(), None)
    assert (train.steps, train.batch_size, train.lr) == (500_000, 32, 1e-4)
    assert (train.betas, train.weight_decay, train.clip_norm) == ((0.8, 0.99), 0.01, 1000)
    assert train.lr_decay ** (171_899 // 32) == pytest.approx(0.999)  # an epoch of VGGSound
    assert train.ema_decay == 0


@pytest.mark.parametrize(
    ("machine", "clips", "size", "reason"),
    [
        (CPU, VGGSOUND, "mini", "CPU"),
        (replace(GPU, memory=4 * 10**9), VGGSOUND, "base", "4 GB of memory"),
        (GPU, MUSIC, "base", "1,000 clips"),
        (GPU, VGGSOUND, "large", "paper's"),
    ],
)
@pytest.mark.parametrize("stage", list(STAGES))
def test_the_default_looks_at_machine_and_clips_and_says_why(machine, clips, size, reason, stage):
    chosen, (_, of_size, of_loop) = choose("default", stage, machine, clips)
    assert size_of(chosen.network, stage) == size
    assert f"size {size} (" in of_size
    assert reason in of_size
    assert f"batch {chosen.train.batch_size}, learning rate {chosen.train.lr:g}, " in of_loop


@pytest.mark.parametrize(("machine", "width"), [(CPU, 256), (GPU, 512)])
def test_a_vocos_is_trained_without_complex_numbers_in_a_compiler(machine, width):
    chosen, _ = choose("default", "vocoder", machine, VGGSOUND, vocoder="vocos")
    assert (chosen.network, chosen.diffusion) == (VocosConfig(width=width), None)
    assert (chosen.train.compile, chosen.train.precision) == (False, "float32")
    assert chosen.row.objective is not STAGES["vocoder"].objective


@pytest.mark.parametrize("stage", list(STAGES))
@pytest.mark.parametrize("processes", [1, 3, 7, 100])
def test_the_default_batch_can_be_shared(stage, processes):
    chosen, _ = choose("default", stage, replace(GPU, processes=processes), VGGSOUND)
    assert chosen.train.batch_size % processes == 0


@pytest.mark.parametrize(
    ("stage", "fast", "precision", "reason"),
    [
        ("unet", True, "bfloat16", "bfloat16, which this machine computes faster"),
        ("unet", False, "float32", "float32, as this machine has no fast bfloat16"),
        ("vocoder", True, "float32", "float32, which suits it"),
    ],
)
def test_the_precision_is_reported_with_its_reason(stage, fast, precision, reason):
    chosen, (*_, of_loop) = choose("default", stage, replace(CPU, bfloat16=fast), MUSIC)
    assert chosen.train.precision == precision
    assert of_loop.endswith(reason)


@pytest.mark.parametrize(("steps", "warmup"), [(9, 0), (60, 6), (3000, 200), (50_000, 200)])
def test_the_warm_up_is_within_the_steps_asked_for(steps, warmup):
    chosen, _ = choose("default", "unet", CPU, MUSIC, train={"steps": steps})
    assert chosen.train.warmup == warmup


def test_requested_values_take_precedence_over_any_preset():
    for preset in ("default", "paper"):
        requested = {"steps": 7, "batch_size": 5, "precision": "float32", "save_every": 3}
        train = choose(preset, "unet", GPU, MUSIC, train=requested)[0].train
        assert {name: getattr(train, name) for name in requested} == requested


def test_a_size_requested_is_taken():
    chosen, reasons = choose("paper", "unet", CPU, MUSIC, size="mini")
    assert (size_of(chosen.network, "unet"), reasons[1]) == ("mini", "size mini (requested)")


def test_networks_are_made_for_their_encoder():
    clip = {"dim": 32, "text_dim": 48, "max_text_len": 16}
    assert choose("default", "unet", CPU, 10, encoder=clip)[0].network.cond_dim == 32
    prior = choose("default", "prior", CPU, 10, encoder=clip)[0].network
    assert (prior.dim, prior.text_dim, prior.max_text_len) == (32, 48, 16)


def test_a_warm_start_goes_on_as_it_is_but_for_the_papers_process():
    start = WarmStart(
        name="mine",
        stage="unet",
        path=Path("mine/unet.safetensors"),
        network=UNetConfig(channels=96),
        diffusion=DiffusionConfig(train_steps=500),
        licence="CC-BY-4.0",
    )
    chosen, reasons = choose("default", "unet", GPU, VGGSOUND, start=start)
    assert (chosen.network, chosen.diffusion) == (start.network, start.diffusion)
    assert (chosen.warm_start, chosen.train.lr) == ("mine", 1e-4)
    assert chosen.licence == "CC-BY-4.0"
    other, _ = choose("default", "unet", GPU, VGGSOUND, start=start, licence="GFDL-1.3")
    assert other.licence == "GFDL-1.3"
    assert choose("default", "unet", GPU, VGGSOUND)[0].licence == "not stated"
    assert reasons[1] == "size of its own (the warm start's)"
    paper, _ = choose("paper", "unet", GPU, VGGSOUND, start=start)
    assert paper.diffusion == DiffusionConfig()


def test_checkpoints_samples_and_looks_fit_into_a_training():
    for machine in (CPU, GPU):
        chosen, _ = choose("default", "unet", machine, MUSIC)
        assert chosen.train.save_every <= chosen.sample_every <= chosen.train.steps
        assert chosen.train.validate_every <= chosen.train.steps


def test_this_machine_is_described():
    machine = this_machine(torch.device("cpu"), 3)
    assert (machine.device, machine.processes, machine.memory) == ("cpu", 3, 0)
    assert machine.name == f"{cores()} cores"
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_all_settings_of_presets_are_of_the_loop():
    assert choose("paper", "unet", CPU, MUSIC)[0].train == TrainConfig(
        steps=200_000,
        ema_warmup=False,
        publish="last",
        publish_dtype="float32",
        save_every=100,
        log_every=10,
        validate_every=250,
    )
