"""Published weights as our bundles: which adapter converts which asset, once, after its download.

Warm starts are not converted: a training reads them through their adapter when it begins.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clipsonic_cli import bounded
from clipsonic_cli.errors import BadBundle, ClipsonicError
from clipsonic_cli.store.bundle import Bundle, Header
from clipsonic_cli.store.install import install as install_asset
from clipsonic_cli.store.manifest import Asset, find

OPENAI_CLIP = "ViT-L-14-quickgelu-openai"
"""Identity of the paper's CLIP. Its file is known by its digest, so that no other has this name."""

Files = Mapping[str, Path]
CONVERTING = threading.Lock()


def install(asset: Asset, *, report: Callable[[str, int, int], None]) -> None:
    """Fetch published weights, verify them and convert what is part of a model.

    Args:
        asset: A row of the manifest.
        report: Called as ``report(file name, bytes done, bytes in all)``, and when all files are
            there as ``report("conversion", 0, 0)``, then as ``report("conversion", 1, 1)``.

    Raises:
        FetchFailed: A file could not be fetched.
        BadBundle: A file is not what its publisher describes.
        ClipsonicError: A package that the conversion needs is missing.
    """
    if asset.part == "clap" and find_spec("transformers") is None:  # before 2 GB are fetched
        from clipsonic_cli.models.optional import install_command

        raise ClipsonicError(f"CLAP needs the package transformers: {install_command('clap')}")
    convert = CONVERSIONS.get(asset.name)

    def locked(files: Files) -> Bundle:
        assert convert is not None
        with CONVERTING:  # each may take gigabytes of memory
            report("conversion", 0, 0)
            converted = convert(files)
        report("conversion", 1, 1)
        return converted

    install_asset(asset, convert=locked if convert else None, report=report)


# torch and the adapters are imported when there is something to convert: a download needs neither.


def _openai_clip(files: Files) -> Bundle:
    """Convert the hub's open_clip form of OpenAI's ViT-L/14."""
    from clipsonic_cli.models.openai_clip import from_openai
    from clipsonic_cli.store.foreign import read_foreign

    described = _read_json(files["open_clip_config.json"])
    weights = read_foreign(files["open_clip_model.safetensors"])
    config, weights = from_openai(described, weights)
    return _bundle("openai-clip", "clip", asdict(config), weights, encoder=OPENAI_CLIP)


def _prior(files: Files, *, name: str, file: str) -> Bundle:
    """Convert a prior of before dalle2-pytorch 1.4.3, made for OpenAI's ViT-L/14."""
    from clipsonic_cli.diffusion.process import cosine_alphas_cumprod
    from clipsonic_cli.models.laion_prior import laion_prior
    from clipsonic_cli.store.foreign import read_foreign

    config, diffusion, weights = laion_prior(read_foreign(files[file]), cosine_alphas_cumprod)
    fields: dict[str, Any] = {"diffusion": diffusion, "space": "clip-image"}
    return _bundle(name, "prior", config, weights, encoder=OPENAI_CLIP, **fields)


def _clap(files: Files, *, name: str, file: str, adapter: str) -> Bundle:
    """Convert LAION's CLAP, in either spelling, with RoBERTa's tokenizer."""
    import torch

    from clipsonic_cli.encoders.tokenizers import TOKENIZER
    from clipsonic_cli.models import clap
    from clipsonic_cli.store.foreign import read_foreign

    weights = getattr(clap, adapter)(read_foreign(files[file]))
    identity = clap.clap_identity(weights)
    tokenizer = bytearray(files["tokenizer.json"].read_bytes())
    weights[TOKENIZER] = torch.frombuffer(tokenizer, dtype=torch.uint8)
    return _bundle(name, "clap", asdict(clap.ClapConfig()), weights, encoder=identity)


def _vggish(files: Files) -> Bundle:
    """Convert torchvggish's VGGish; its principal components are checked and left out."""
    from clipsonic_cli.models.state_dict import build
    from clipsonic_cli.models.vggish import VGGish, vggish_pca
    from clipsonic_cli.store.foreign import read_foreign

    network = build(VGGish, read_foreign(files["vggish-10086976.pth"]), "VGGish")
    vggish_pca(read_foreign(files["vggish_pca_params-970ea276.pth"]))
    return _bundle("vggish", "vggish", {}, network.state_dict())


def _panns(files: Files) -> Bundle:
    """Convert CNN14 of PANNs; where its training was in the data is left out."""
    from clipsonic_cli.audio.mel import mel_filters
    from clipsonic_cli.models.panns import SPEC, from_panns
    from clipsonic_cli.store.foreign import read_foreign

    checkpoint = read_foreign(files["Cnn14_16k_mAP=0.438.pth"])
    return _bundle("panns", "panns", {}, from_panns(checkpoint, mel_filters(SPEC)))


def _passt(files: Files) -> Bundle:
    """Convert PaSST-S."""
    from clipsonic_cli.models.passt import from_passt
    from clipsonic_cli.store.foreign import read_foreign

    checkpoint = read_foreign(files["passt-s-f128-p16-s10-ap.476-swa.pt"])
    return _bundle("passt", "passt", {}, from_passt(checkpoint))


def _wav2clip(files: Files) -> Bundle:
    """Convert Wav2CLIP, with the image tower of the hub's CLIP ViT-B/32."""
    from clipsonic_cli.models.wav2clip import from_wav2clip
    from clipsonic_cli.store.foreign import read_foreign

    weights = from_wav2clip(
        read_foreign(files["Wav2CLIP.pt"]),
        _read_json(files["open_clip_config.json"]),
        read_foreign(files["open_clip_model.safetensors"]),
    )
    return _bundle("wav2clip", "wav2clip", {}, weights)


def _audiobox(files: Files) -> Bundle:
    """Convert Audiobox Aesthetics; its description has the scale of its scores."""
    from clipsonic_cli.models.audiobox import from_audiobox
    from clipsonic_cli.store.foreign import read_foreign

    described = _read_json(files["config.json"])
    weights = from_audiobox(read_foreign(files["model.safetensors"]), described)
    return _bundle("audiobox", "audiobox", {}, weights)


CONVERSIONS: dict[str, Callable[[Files], Bundle]] = {
    "openai-clip": _openai_clip,
    "laion-prior": partial(_prior, name="laion-prior", file="latest.pth"),
    "conditioned-prior": partial(_prior, name="conditioned-prior", file="best.pth"),
    "clap": partial(_clap, name="clap", file="630k-audioset-fusion-best.pt", adapter="from_laion"),
    "clap-transformers": partial(
        _clap, name="clap-transformers", file="pytorch_model.bin", adapter="from_transformers"
    ),
    "vggish": _vggish,
    "panns": _panns,
    "passt": _passt,
    "wav2clip": _wav2clip,
    "audiobox": _audiobox,
}
"""Conversions into bundles by asset; assets without a row stay as they were published."""


def _bundle(name: str, kind: Any, config: Any, weights: Any, **fields: Any) -> Bundle:
    """Build a bundle that names its publisher; a BadBundle where the sizes are beyond any use."""
    row = find(name)
    meta = {"asset": name, "licence": row.licence, "page": row.page}
    try:
        header = Header(kind=kind, config=config, meta=meta, **fields)
    except ValueError as error:
        raise BadBundle(f"The file of '{name}' is not as its publisher's: {error}.") from None
    return Bundle(header=header, weights=weights)


def _read_json(path: Path) -> dict[str, Any]:
    """Read a publisher's small JSON object; a BadBundle if it is none."""
    try:
        described = bounded.read_json(path, 16 << 20)
    except ValueError as error:
        raise BadBundle(f"{path} is no JSON ({error}). Get it again.") from None
    if not isinstance(described, dict):
        raise BadBundle(f"{path} holds no JSON object. Get it again.")
    return described
