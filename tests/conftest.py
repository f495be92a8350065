"""Fixtures for every package.

``micro`` is a whole model folder, of real components with tiny random weights: a CLIP, a prior,
a U-Net and a vocoder, written once a session as bundles. ``clipsonic generate --model`` runs with
it in well under a second. ``violin_picture`` is a small JPEG. Tests that change a model copy it.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from clipsonic_cli.config import (
    DiffusionConfig,
    MelSpec,
    PriorConfig,
    StudentConfig,
    UNetConfig,
    VocoderConfig,
    VocosConfig,
)

# A busy machine is no failure; a hang is, and pytest's own log shows where.
settings.register_profile("clipsonic", deadline=None)
settings.load_profile("clipsonic")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return 0 (this process) where only files or single tests are named; else let xdist decide."""
    files = all(Path(argument.partition("::")[0]).is_file() for argument in config.args)
    return 0 if files else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test of CUDA where there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Give each worker, and what it starts, one thread, unless the caller says otherwise."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


DIM, TEXT_DIM = 32, 48
ENCODER = "micro-clip"


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps every test, and what it starts, out of the real home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPSONIC_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals() -> Iterator[None]:
    """Handle signals as in the foreground: what a shell starts in the background ignores Ctrl-C.

    What tests start inherits it.
    """
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _precision() -> Iterator[None]:
    """Choose the precision as on a CPU without extensions, so that it is the same on any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipsonic_cli.device.cpu_flags", frozenset)
        yield


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "micro"
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_clip(folder / "clip.safetensors")
        write_unet(folder / "unet.safetensors")
        write_prior(folder / "prior.safetensors")
        write_vocoder(folder / "vocoder.safetensors")
    return folder


@pytest.fixture(scope="session")
def micro_vocos(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``micro`` with a Vocos in the place of its BigVGAN."""
    from clipsonic_cli.models.vocos import Vocos
    from clipsonic_cli.store import bundle

    folder = tmp_path_factory.mktemp("models") / "micro-vocos"
    shutil.copytree(micro, folder)
    config = VocosConfig(width=16, depth=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = randomized(Vocos(config, MelSpec()))
    path, meta = folder / "vocoder.safetensors", {"default_vocoder": "vocos"}
    save(path, bundle, weights, kind="vocoder", config=config, mel=MelSpec(), meta=meta)
    return folder


@pytest.fixture(scope="session")
def micro_student(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``micro`` with a student of four calls, whose every weight counts."""
    from clipsonic_cli.models.unet import UNet, begin_as_student
    from clipsonic_cli.store import bundle

    folder = tmp_path_factory.mktemp("models") / "micro-student"
    shutil.copytree(micro, folder)
    taught = bundle.load(folder / "unet.safetensors", kind="unet")
    config = StudentConfig(**{**asdict(taught.header.config), "learn_variance": False})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = UNet(config)
        student.load_state_dict(begin_as_student(student, taught.weights))
        weights = randomized(student)
    header = replace(
        taught.header,
        kind="student",
        config=config,
        diffusion=DiffusionConfig(prediction="v", variance="fixed"),
    )
    bundle.write(folder / "student.safetensors", bundle.Bundle(header=header, weights=weights))
    return folder


@pytest.fixture(scope="session")
def violin_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "violin.jpg"
    gradient = np.linspace(0, 255, 80 * 60 * 3).reshape(60, 80, 3).astype(np.uint8)
    Image.fromarray(gradient).save(path)
    return path


@pytest.fixture
def fakes(monkeypatch):
    """Put ``FakeBackbone`` in the place of the embedded network and return its module."""
    for package in ("metrics", "evaluation"):
        monkeypatch.syspath_prepend(Path(__file__).parent / package)
    from clipsonic_cli.metrics import BACKBONES

    monkeypatch.setitem(BACKBONES._entries, "mini", "fake_backbones:FakeBackbone")
    import fake_backbones

    return fake_backbones


@pytest.fixture(scope="module")  # no longer: while it is there, nobody else can run an event loop
def browser():
    """Chromium or Chrome: on the path, named by ``CHROMIUM``, or playwright's own."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with driver.sync_playwright() as playwright:
        path = Path(found or playwright.chromium.executable_path)
        if not path.exists():
            pytest.skip("no Chromium: put one on the path or its file's name into CHROMIUM")
        started = playwright.chromium.launch(executable_path=path)
        yield started
        started.close()


def write_clip(path: Path) -> None:
    from clipsonic_cli.encoders.tokenizers import TOKENIZER
    from clipsonic_cli.models.clip import MINI, ClipConfig, build_clip
    from clipsonic_cli.store import bundle

    described = tokenizer()
    config = ClipConfig(
        architecture=MINI, dim=DIM, text_dim=TEXT_DIM, max_text_len=64, vocab_size=64, image_size=32
    )
    weights = dict(build_clip(config).half().state_dict())  # as mini's is: half the bytes of a copy
    weights[TOKENIZER] = torch.frombuffer(bytearray(described.encode()), dtype=torch.uint8)
    save(path, bundle, weights, kind="clip", config=as_json(config), encoder=ENCODER)


def tokenizer() -> str:
    """A tokenizer.json of single characters."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Split

    words = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz0123456789 "]
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = Lowercase()
    made.pre_tokenizer = Split(Regex("."), "isolated")
    return made.to_str()


def write_unet(path: Path) -> None:
    from clipsonic_cli.models.unet import UNet
    from clipsonic_cli.store import bundle

    config = UNetConfig(
        channels=32,
        channel_mult=(1, 1, 1, 1),
        num_res_blocks=1,
        attention_downsample=(8,),
        num_heads=1,
        cond_dim=DIM,
    )
    weights = randomized(UNet(config))
    save(
        path,
        bundle,
        weights,
        kind="unet",
        config=config,
        mel=MelSpec(),
        diffusion=DiffusionConfig(),
        space="clip-image",
        encoder=ENCODER,
    )


def write_prior(path: Path) -> None:
    from clipsonic_cli.models.prior import Prior
    from clipsonic_cli.store import bundle

    config = PriorConfig(dim=DIM, text_dim=TEXT_DIM, depth=1, dim_head=32, heads=1, max_text_len=64)
    diffusion = DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)
    save(
        path,
        bundle,
        randomized(Prior(config)),
        kind="prior",
        config=config,
        diffusion=diffusion,
        space="clip-image",
        encoder=ENCODER,
    )


def write_vocoder(path: Path) -> None:
    from clipsonic_cli.models.bigvgan import BigVGAN
    from clipsonic_cli.store import bundle

    config = VocoderConfig(
        channels=16,
        upsample_rates=(8, 8, 8),
        upsample_kernel_sizes=(16, 16, 16),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
    )
    weights = dict(BigVGAN(config, MelSpec()).state_dict())
    meta = {"default_vocoder": "bigvgan"}
    save(path, bundle, weights, kind="vocoder", config=config, mel=MelSpec(), meta=meta)


def randomized(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights in which nothing is zero, so that every input changes the output."""
    return {
        name: torch.randn_like(weight) * 0.05 if not weight.any() else weight
        for name, weight in network.state_dict().items()
    }


def as_json(config: object) -> dict[str, object]:
    made: dict[str, object] = json.loads(json.dumps(asdict(config)))  # type: ignore[call-overload]
    return made


def save(path: Path, bundle, weights, **header) -> None:
    bundle.write(path, bundle.Bundle(header=bundle.Header(**header), weights=weights))
