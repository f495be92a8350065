"""List the published weights this project can use: origin, size, licence and purpose.

Adding weights is adding a row; ``clipsonic download``, the messages about missing parts and the
README's table follow. ``clipsonic_cli/published.py`` converts downloaded files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clipsonic_cli.registry import unknown

NOWHERE = "nowhere: pinned at the first download"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of an asset."""

    name: str
    """Its name on disk."""
    urls: tuple[str, ...]
    """Its addresses, the publisher's own first."""
    bytes: int | None = None
    """Its length; None where no source states it to the byte."""
    sha256: str | None = None
    """Its digest in hexadecimal, or the first digits that the publisher states; None is pinned at
    the first download."""
    digest_from: str = NOWHERE
    """Where the digest is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Published weights."""

    name: str
    """Its name for ``clipsonic download``."""
    title: str
    """Its description in tables."""
    licence: str
    """SPDX name, or the publisher's words."""
    page: str
    """Where its publisher describes it."""
    files: tuple[RemoteFile, ...]
    size: int
    """Bytes in all, approximately."""
    part: str | None = None
    """The part of a model it can serve as ("clip", "prior", "clap"), or None."""
    modes: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    """Modes, metrics and conditions of ``clipsonic train`` that need it."""
    stages: tuple[str, ...] = ()
    """Stages of ``clipsonic train`` it is a warm start for."""


HUB = "https://huggingface.co"
HUB_MIRROR = "https://hf-mirror.com"
"""A public mirror of the hub, used only for files whose whole digest is known beforehand."""
HUB_STATES = "the hub states it in the answer (X-Linked-Etag); pinned at the first download"
THIRD_PARTIES = "users of the file, who agree; the publisher's page shows it per file"
VGGISH = "https://github.com/harritaylor/torchvggish/releases"
PAPER_METRICS = {"fad", "clap", "similarity"}
CLAP_METRICS = ("clap", "clap-windows", "fad:clap", "kad:clap", "kl", "accuracy")


def _hub_file(
    repository: str,
    path: str,
    *,
    length: int | None = None,
    sha256: str | None = None,
    digest_from: str = NOWHERE,
) -> RemoteFile:
    """Return a file of a hub repository, with the mirror's address if its digest is known."""
    hubs = (HUB,) if sha256 is None else (HUB, HUB_MIRROR)
    return RemoteFile(
        name=path.rpartition("/")[2],
        urls=tuple(f"{hub}/{repository}/resolve/main/{path}" for hub in hubs),
        bytes=length,
        sha256=sha256,
        digest_from=digest_from,
    )


CLAP_TOKENIZER = _hub_file("laion/clap-htsat-fused", "tokenizer.json")
ROWS = (
    Asset(
        name="openai-clip",
        title="CLIP ViT-L/14 of OpenAI, the paper's",
        licence="MIT",
        page=f"{HUB}/timm/vit_large_patch14_clip_224.openai",
        files=(
            _hub_file(
                "timm/vit_large_patch14_clip_224.openai",
                "open_clip_model.safetensors",
                length=1_710_517_724,
                sha256="9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e",
                digest_from=THIRD_PARTIES,
            ),
            _hub_file("timm/vit_large_patch14_clip_224.openai", "open_clip_config.json"),
        ),
        size=1_710_518_000,
        part="clip",
        modes=("iq", "zs", "pd", "sd", "clip-tta"),
        metrics=("similarity",),
        conditions=("clip-image", "clip-text"),
    ),
    Asset(
        name="laion-prior",
        title="diffusion prior of LAION, trained on LAION-2B, the paper's",
        licence="MIT",
        page=f"{HUB}/laion/DALLE2-PyTorch",
        files=(_hub_file("laion/DALLE2-PyTorch", "prior/latest.pth", digest_from=HUB_STATES),),
        size=1_340_000_000,
        part="prior",
        modes=("pd",),
    ),
    Asset(
        name="conditioned-prior",
        title="diffusion prior of nousr, trained on LAION-Aesthetics",
        licence="not stated by its publisher",
        page=f"{HUB}/nousr/conditioned-prior",
        files=(
            _hub_file(
                "nousr/conditioned-prior", "vit-l-14/aesthetic/best.pth", digest_from=HUB_STATES
            ),
        ),
        size=1_340_000_000,
        part="prior",
        modes=("pd",),
    ),
    Asset(
        name="clap",
        title="CLAP 630k-audioset-fusion of LAION, the paper's",
        licence="CC0-1.0",
        page=f"{HUB}/lukewys/laion_clap",
        files=(
            _hub_file("lukewys/laion_clap", "630k-audioset-fusion-best.pt", digest_from=HUB_STATES),
            CLAP_TOKENIZER,
        ),
        size=1_862_000_000,
        part="clap",
        modes=("clap-tta",),
        metrics=CLAP_METRICS,
        conditions=("clap-text",),
    ),
    Asset(
        name="clap-transformers",
        title="the same CLAP in the form of transformers, a third of the size",
        licence="Apache-2.0",
        page=f"{HUB}/laion/clap-htsat-fused",
        files=(
            _hub_file("laion/clap-htsat-fused", "pytorch_model.bin", digest_from=HUB_STATES),
            CLAP_TOKENIZER,
        ),
        size=617_000_000,
        part="clap",
        modes=("clap-tta",),
        metrics=CLAP_METRICS,
        conditions=("clap-text",),
    ),
    Asset(
        name="vggish",
        title="VGGish, whose features the Frechet audio distance compares",
        licence="Apache-2.0",
        page=f"{VGGISH}/tag/v0.1",
        files=(
            RemoteFile(
                name="vggish-10086976.pth",
                urls=(f"{VGGISH}/download/v0.1/vggish-10086976.pth",),
                sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
                digest_from=f"the file's name (first digits); {THIRD_PARTIES}",
            ),
            RemoteFile(
                name="vggish_pca_params-970ea276.pth",
                urls=(f"{VGGISH}/download/v0.1/vggish_pca_params-970ea276.pth",),
                sha256="970ea276",
                digest_from="its first digits are in the file's name",
            ),
        ),
        size=288_700_000,
        part="vggish",
        metrics=("fad", "kad"),
    ),
    Asset(
        name="panns",
        title="CNN14 of PANNs at 16 kHz, whose features later papers compare",
        licence="CC-BY-4.0",
        page="https://zenodo.org/records/3987831",
        files=(
            RemoteFile(
                name="Cnn14_16k_mAP=0.438.pth",
                urls=(
                    "https://zenodo.org/records/3987831/files/Cnn14_16k_mAP%3D0.438.pth?download=1",
                ),
                bytes=358_668_570,
                sha256="e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
                digest_from="users of the file, who agree; the publisher's page shows its MD5",
            ),
        ),
        size=358_669_000,
        part="panns",
        metrics=("fad:panns", "kad:panns", "kl:panns"),
    ),
    Asset(
        name="passt",
        title="PaSST-S, whose features and classes video-to-sound papers compare",
        licence="Apache-2.0",
        page="https://github.com/kkoutini/PaSST/releases/tag/v0.0.1-audioset",
        files=(
            RemoteFile(
                name="passt-s-f128-p16-s10-ap.476-swa.pt",
                urls=(
                    "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/"
                    "passt-s-f128-p16-s10-ap.476-swa.pt",
                ),
                bytes=344_665_734,
                sha256="302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
                digest_from="users of the file, who agree",
            ),
        ),
        size=344_666_000,
        part="passt",
        metrics=("fad:passt", "kad:passt", "kl:passt", "is"),
    ),
    Asset(
        name="wav2clip",
        title="Wav2CLIP and CLIP ViT-B/32, which compare sounds with images",
        licence="MIT",
        page="https://github.com/descriptinc/lyrebird-wav2clip",
        files=(
            RemoteFile(
                name="Wav2CLIP.pt",
                urls=(
                    "https://github.com/descriptinc/lyrebird-wav2clip/releases/download/"
                    "v0.1.0-alpha/Wav2CLIP.pt",
                ),
            ),
            _hub_file(
                "timm/vit_base_patch32_clip_224.openai",
                "open_clip_model.safetensors",
                length=605_143_284,
                sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
                digest_from=THIRD_PARTIES,
            ),
            _hub_file("timm/vit_base_patch32_clip_224.openai", "open_clip_config.json"),
        ),
        size=654_000_000,
        part="wav2clip",
        metrics=("cs",),
    ),
    Asset(
        name="audiobox",
        title="Audiobox Aesthetics, which rates sounds as people would",
        licence="CC-BY-4.0",
        page=f"{HUB}/facebook/audiobox-aesthetics",
        files=(
            _hub_file(
                "facebook/audiobox-aesthetics",
                "model.safetensors",
                length=415_472_992,
                sha256="a5a3c2412649cc2384ec525ffd5180ce6c4778f43bed6108e0a1303de04d014e",
                digest_from=THIRD_PARTIES,
            ),
            _hub_file("facebook/audiobox-aesthetics", "config.json"),
        ),
        size=415_473_000,
        part="audiobox",
        metrics=("aes",),
    ),
    Asset(
        name="improved-diffusion",
        title="image U-Net of improved-diffusion, a warm start for the mel U-Net",
        licence="MIT",
        page="https://github.com/openai/improved-diffusion",
        files=(
            RemoteFile(
                name="imagenet64_uncond_100M_1500K.pt",
                urls=(
                    "https://openaipublic.blob.core.windows.net/diffusion/march-2021/"
                    "imagenet64_uncond_100M_1500K.pt",
                ),
            ),
        ),
        size=484_400_000,
        stages=("unet",),
    ),
    Asset(
        name="bigvgan-44k",
        title="BigVGAN v2 of NVIDIA at 44.1 kHz, a warm start for the vocoder",
        licence="MIT",
        page=f"{HUB}/nvidia/bigvgan_v2_44khz_128band_512x",
        files=(
            _hub_file(
                "nvidia/bigvgan_v2_44khz_128band_512x",
                "bigvgan_generator.pt",
                sha256="d9fe7ec6bd0b44ed9d66973d5012d8181c1570b01e5c72df51973e241dccd357",
                digest_from="one user of the file; the publisher's page shows it",
            ),
        ),
        size=489_000_000,
        stages=("vocoder",),
    ),
)
ASSETS = {asset.name: asset for asset in ROWS}


def purposes() -> list[str]:
    """Return what ``--for`` takes: modes, "eval" and its metrics, "train" and its options."""
    modes = {mode for row in ROWS for mode in row.modes}
    metrics = [metric for row in ROWS for metric in row.metrics]
    conditions = [f"train --condition {name}" for row in ROWS for name in row.conditions]
    stages = [f"train --stage {name}" for row in ROWS for name in row.stages]
    return sorted(modes) + list(dict.fromkeys(["eval", *metrics, "train", *conditions, *stages]))


def needed_for(purpose: str) -> list[Asset]:
    """Return the assets a purpose of :func:`purposes` needs; of two for one part, the first.

    Raises:
        UsageError: There is no such purpose; the nearest is suggested.
    """
    purpose = " ".join(purpose.split())
    if purpose not in purposes():
        raise unknown("purpose", purpose, purposes())
    chosen: dict[str, Asset] = {}
    for row in ROWS:
        serves = [*row.modes, *row.metrics]
        serves += ["eval"] if PAPER_METRICS.intersection(row.metrics) else []
        serves += [f"train --condition {name}" for name in row.conditions]
        serves += [f"train --stage {name}" for name in row.stages]
        serves += ["train"] if "clip-image" in row.conditions else []
        if purpose in serves:
            chosen.setdefault(row.part or row.name, row)
    return list(chosen.values())


def find(name: str) -> Asset:
    """Return an asset by name, or raise a UsageError that suggests the nearest."""
    if name not in ASSETS:
        raise unknown("weights", name, list(ASSETS))
    return ASSETS[name]


def standing_in(part: str) -> Sequence[Asset]:
    """Return the assets that can serve as a part of a model, the first choice first."""
    return [row for row in ROWS if row.part == part]
