"""Files as others publish them, with weights that mean nothing: the real names and shapes.

Written from the published descriptions, not from this project's networks, so that an adapter is
not tested against itself. Every size can be made small; the defaults are the real ones. Two calls
give the same numbers anywhere, and so do the programs that recorded what other packages compute.
"""

import math
import zlib

import numpy as np
import torch
from torch import Tensor

PERIOD = 10_007  # prime, so that no two rows of a matrix are alike


def wave(name: str, *shape: int, scale: float = 0.5) -> Tensor:
    """A tensor of numbers in [-scale, scale] that depend on the name; float32."""
    count, offset = math.prod(shape), zlib.crc32(name.encode()) % 1000
    at = torch.arange(min(count, PERIOD), dtype=torch.float64)
    numbers = (scale * (0.37 * at.square() + offset).sin()).float()
    return numbers.repeat(-(-count // PERIOD))[:count].view(shape)


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights that keep what passes through them of about its size."""
    return {
        name: wave(name, *shape, scale=0.02 if len(shape) < 2 else 1.7 / math.sqrt(shape[-1]))
        for name, shape in shapes.items()
    }


def laion_prior(
    dim=768, depth=12, heads=12, dim_head=64, ff_mult=4, max_text_len=77, timesteps=1000, clip=None
):
    """LAION's ``prior/latest.pth``; ``clip`` is the state dict of the CLIP in it, or None.

    Gains are near 1 and biases of positions near 0, as in a trained network.
    """
    net, layer = "net.", "net.causal_transformer.layers."
    width = ff_mult * dim
    weights = {
        f"{net}learned_query": wave("query", dim),
        f"{net}null_text_embed": wave("tokens", 1, max_text_len, dim),
        f"{net}to_time_embeds.0.weight": wave("times", timesteps, dim),
        f"{net}causal_transformer.rel_pos_bias.relative_attention_bias.weight": wave(
            "positions", 32, heads, scale=0.02
        ),
    }
    turned = min(32, dim_head)
    for i in range(depth):
        gain = {
            f"{layer}{i}.{name}": 1 + wave(f"{i}{name}", size, scale=0.2)
            for name, size in (
                ("0.norm.g", dim),
                ("0.to_out.1.g", dim),
                ("1.0.g", dim),
                ("1.3.g", width),
            )
        }
        matrices = {
            f"{layer}{i}.{name}": wave(f"{i}{name}", *shape, scale=2 / math.sqrt(shape[-1]))
            for name, shape in (
                ("0.null_kv", (2, dim_head)),
                ("0.to_q.weight", (heads * dim_head, dim)),
                ("0.to_kv.weight", (2 * dim_head, dim)),
                ("0.to_out.0.weight", (dim, heads * dim_head)),
                ("1.1.weight", (2 * width, dim)),
                ("1.5.weight", (dim, width)),
            )
        }
        frequencies = 1 / 10_000 ** (torch.arange(0, turned, 2).float() / turned)
        weights |= gain | matrices | {f"{layer}{i}.0.rotary_emb.freqs": frequencies}
    weights[f"{net}causal_transformer.norm.g"] = 1 + wave("norm", dim, scale=0.2)
    weights[f"{net}causal_transformer.project_out.weight"] = wave(
        "out", dim, dim, scale=2 / math.sqrt(dim)
    )
    weights |= {f"noise_scheduler.{k}": v.float() for k, v in noise_scheduler(timesteps).items()}
    return weights | {f"clip.clip.{name}": tensor for name, tensor in (clip or {}).items()}


def noise_scheduler(timesteps):
    """The 13 tables of dalle2-pytorch's cosine schedule, float64."""
    at = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64) / timesteps
    bar = ((at + 0.008) / 1.008 * math.pi / 2).cos().square()
    betas = (1 - bar[1:] / bar[:-1]).clip(0, 0.999)
    alphas = (1 - betas).cumprod(0)
    below = torch.cat([torch.ones(1, dtype=torch.float64), alphas[:-1]])
    variance = betas * (1 - below) / (1 - alphas)
    return {
        "betas": betas,
        "alphas_cumprod": alphas,
        "alphas_cumprod_prev": below,
        "sqrt_alphas_cumprod": alphas.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - alphas).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - alphas).log(),
        "sqrt_recip_alphas_cumprod": (1 / alphas).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / alphas - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * below.sqrt() / (1 - alphas),
        "posterior_mean_coef2": (1 - below) * (1 - betas).sqrt() / (1 - alphas),
        "p2_loss_weight": torch.ones(timesteps, dtype=torch.float64),
    }


CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 768,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 768,
            "heads": 12,
            "layers": 12,
        },
    },
    "preprocess_cfg": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}
"""``open_clip_config.json`` next to ``open_clip_model.safetensors``."""
VIT_B_32 = {
    "embed_dim": 512,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 512,
        "heads": 8,
        "layers": 12,
    },
}
"""Its "model_cfg" for the smaller CLIP."""


def openai_clip(model_cfg=CLIP_CONFIG["model_cfg"], mixed=False):
    """A CLIP of vision transformer and OpenAI's text tower, as on the hub.

    With ``mixed`` as in OpenAI's archive and LAION's prior: matrices and their biases in half
    precision, embeddings and norms in single.
    """
    vision, text, dim = model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    patch, wide = vision["patch_size"], vision["width"]
    shapes = {
        "positional_embedding": (text["context_length"], text["width"]),
        "text_projection": (text["width"], dim),
        "visual.class_embedding": (wide,),
        "visual.positional_embedding": ((vision["image_size"] // patch) ** 2 + 1, wide),
        "visual.proj": (wide, dim),
        "visual.conv1.weight": (wide, 3, patch, patch),
        "token_embedding.weight": (text["vocab_size"], text["width"]),
    }
    for name, size in (("visual.ln_pre", wide), ("visual.ln_post", wide), ("ln_final", 0)):
        shapes |= {f"{name}.{kind}": (size or text["width"],) for kind in ("weight", "bias")}
    for tower, part in (("visual.", vision), ("", text)):
        width = part["width"]
        for i in range(part["layers"]):
            block = f"{tower}transformer.resblocks.{i}."
            for name, size in (("attn.in_proj_", 3 * width), ("mlp.c_fc.", 4 * width)):
                shapes |= {f"{block}{name}weight": (size, width), f"{block}{name}bias": (size,)}
            for name, size in (("attn.out_proj", width), ("mlp.c_proj", 4 * width)):
                shapes |= {f"{block}{name}.weight": (width, size), f"{block}{name}.bias": (width,)}
            for name in ("ln_1", "ln_2"):
                shapes |= {f"{block}{name}.{kind}": (width,) for kind in ("weight", "bias")}
    halved = ("attn.", "mlp.", "conv1", "proj")
    weights = {
        name: tensor.half() if mixed and any(part in name for part in halved) else tensor
        for name, tensor in filled(shapes).items()
    }
    weights |= {k: 1 + w for k, w in weights.items() if ".ln_" in f".{k}" and "weight" in k}
    return weights | {"logit_scale": torch.tensor(4.6052)}


def vggish(hidden=4096):
    """``vggish-10086976.pth``; ``hidden`` of another size is no VGGish, but small."""
    widths = {0: (1, 64), 3: (64, 128), 6: (128, 256), 8: (256, 256), 11: (256, 512)}
    shapes = {}
    for i, (narrow, wide) in (widths | {13: (512, 512)}).items():
        shapes |= {f"features.{i}.weight": (wide, narrow, 3, 3), f"features.{i}.bias": (wide,)}
    for i, (narrow, wide) in {
        0: (512 * 4 * 6, hidden),
        2: (hidden, hidden),
        4: (hidden, 128),
    }.items():
        shapes |= {f"embeddings.{i}.weight": (wide, narrow), f"embeddings.{i}.bias": (wide,)}
    # Rectified convolutions halve the variance, and sum over 9 places.
    gain = {name: 2 / math.sqrt(math.prod(shape[1:])) for name, shape in shapes.items()}
    return {
        name: wave(name, *shape, scale=min(gain[name], 0.5) if len(shape) > 1 else 0.1)
        for name, shape in shapes.items()
    }


def vggish_pca():
    """``vggish_pca_params-970ea276.pth``, which holds NumPy arrays."""
    return {
        "pca_eigen_vectors": wave("vectors", 128, 128).numpy(),
        "pca_means": wave("means", 128).numpy(),
    }


def panns(widths=(64, 128, 256, 512, 1024, 2048), classes=527):
    """``Cnn14_16k_mAP=0.438.pth``; ``widths`` of other sizes are no CNN14, but small.

    It holds what makes the mels as well: a Fourier transform under a window, and Slaney's filters.
    """
    turns = np.outer(np.arange(257), np.arange(512)) * 2 * np.pi / 512  # (257, 512)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    weights = {
        f"spectrogram_extractor.stft.conv_{part}.weight": torch.tensor(
            (window * wave_of)[:, None], dtype=torch.float32
        )
        for part, wave_of in (("real", np.cos(turns)), ("imag", -np.sin(turns)))
    }
    ends = 50 * 3 / 200, 15 + 27 * math.log(8) / math.log(6.4)  # mels of 50 and 8000 Hz
    mels = np.linspace(*ends, 66)
    hz = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    triangles = [
        np.interp(np.arange(257) * 31.25, hz[i : i + 3], [0, 2 / (hz[i + 2] - hz[i]), 0])
        for i in range(64)
    ]
    weights["logmel_extractor.melW"] = torch.tensor(np.array(triangles).T, dtype=torch.float32)

    def normalization(name, width, *, mean, deviation):
        weights[f"{name}.weight"] = 1 + wave(f"{name}w", width, scale=0.2)
        weights[f"{name}.bias"] = wave(f"{name}b", width, scale=0.1)
        weights[f"{name}.running_mean"] = mean + wave(f"{name}m", width, scale=0.1 * deviation)
        variance = 1 + wave(f"{name}v", width, scale=0.2)
        weights[f"{name}.running_var"] = deviation**2 * variance
        weights[f"{name}.num_batches_tracked"] = torch.tensor(600_000)

    normalization("bn0", 64, mean=-40.0, deviation=20.0)
    narrow = 1
    for i, wide in enumerate(widths, 1):
        for j, channels in ((1, narrow), (2, wide)):
            name, shape = f"conv_block{i}.conv{j}.weight", (wide, channels, 3, 3)
            weights[name] = wave(name, *shape, scale=min(2 / math.sqrt(9 * channels), 0.5))
            normalization(f"conv_block{i}.bn{j}", wide, mean=0.0, deviation=1.0)
        narrow = wide
    for name, count in (("fc1", narrow), ("fc_audioset", classes)):
        weights[f"{name}.weight"] = wave(name, count, narrow, scale=2 / math.sqrt(narrow))
        weights[f"{name}.bias"] = wave(f"{name}b", count, scale=0.1)
    places = {
        "indexes_per_class": [np.arange(3), np.arange(2)],
        "queue": [1, 0],
        "pointers_of_classes": [2, 0],
    }
    return {"iteration": 600_000, "model": weights, "sampler": places}


def passt(dim=768, depth=12, classes=527):
    """``passt-s-f128-p16-s10-ap.476-swa.pt``; of other sizes it is no PaSST-S, but small."""
    shapes = {
        "cls_token": (1, 1, dim),
        "dist_token": (1, 1, dim),
        "new_pos_embed": (1, 2, dim),
        "freq_new_pos_embed": (1, dim, 12, 1),
        "time_new_pos_embed": (1, dim, 1, 99),
        "patch_embed.proj.weight": (dim, 1, 16, 16),
        "patch_embed.proj.bias": (dim,),
    }
    layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for i in range(depth):
        for name, (wide, narrow) in layers.items():
            shapes[f"blocks.{i}.{name}.weight"] = (wide * dim, narrow * dim)
            shapes[f"blocks.{i}.{name}.bias"] = (wide * dim,)
    for name in ("head.1", "head_dist"):
        shapes |= {f"{name}.weight": (classes, dim), f"{name}.bias": (classes,)}
    weights = {}
    for name, shape in shapes.items():
        fan_in = 1 if len(shape) == 3 else math.prod(shape[1:])
        weights[name] = wave(name, *shape, scale=2 / math.sqrt(fan_in))
    norms = [f"blocks.{i}.norm{j}" for i in range(depth) for j in (1, 2)]
    for name in (*norms, "norm", "head.0"):
        weights[f"{name}.weight"] = 1 + wave(f"{name}w", dim, scale=0.2)
        weights[f"{name}.bias"] = wave(f"{name}b", dim, scale=0.1)
    return weights


def wav2clip():
    """``Wav2CLIP.pt``: its two networks, and a third that only its training needed."""
    turns = 2 * np.pi * np.arange(512) / 512
    window = torch.tensor(0.5 - 0.5 * np.cos(turns), dtype=torch.float32)
    weights = {"audio_encoder.spectrogram.window": window}

    def convolution(name, norm, wide, narrow, size):
        scale = 2 / math.sqrt(narrow * size**2)
        weights[f"{name}.weight"] = wave(name, wide, narrow, size, size, scale=scale)
        weights[f"{norm}.weight"] = 1 + wave(f"{norm}w", wide, scale=0.2)
        weights[f"{norm}.bias"] = wave(f"{norm}b", wide, scale=0.1)
        weights[f"{norm}.running_mean"] = wave(f"{norm}m", wide, scale=0.1)
        weights[f"{norm}.running_var"] = 1 + wave(f"{norm}v", wide, scale=0.2)
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(100_000)

    encoder = "audio_encoder."
    convolution(f"{encoder}conv1", f"{encoder}bn1", 64, 1, 7)
    narrow = 64
    for level, wide in enumerate((64, 128, 256, 512), 1):
        for index in range(2):
            block = f"{encoder}layer{level}.{index}."
            convolution(f"{block}conv1", f"{block}bn1", wide, narrow, 3)
            convolution(f"{block}conv2", f"{block}bn2", wide, wide, 3)
            if wide != narrow:
                convolution(f"{block}downsample.0", f"{block}downsample.1", wide, narrow, 1)
            narrow = wide
    for part in ("audio_transform", "image_transform"):
        for index in (0, 3):
            name = f"{part}.sequential.{index}"
            weights[f"{name}.weight"] = wave(name, 512, 512, scale=2 / math.sqrt(512))
            weights[f"{name}.bias"] = wave(f"{name}b", 512, scale=0.1)
    return weights | {"loss_fn_a.logit_scale": torch.tensor(2.6593)}


def bigvgan(bands=128, channels=1536, rates=(8, 4, 2, 2, 2, 2), spelling=".weight_{}", bias=False):
    """``bigvgan_generator.pt`` of ``bigvgan_v2_44khz_128band_512x``.

    ``spelling`` is how gain and direction of a weight are called: ``.weight_{}`` with g and v, or
    torch's new ``.parametrizations.weight.original{}`` with 0 and 1.
    """
    gain, direction = ("g", "v") if spelling == ".weight_{}" else (0, 1)
    weights = {}

    def convolution(name, *shape, width=0):
        weights[f"{name}{spelling.format(gain)}"] = 1 + wave(
            f"{name}g", shape[0], *[1] * (len(shape) - 1), scale=0.3
        )
        weights[f"{name}{spelling.format(direction)}"] = wave(name, *shape)
        if width:
            weights[f"{name}.bias"] = wave(f"{name}b", width, scale=0.02)

    def activation(name, width):
        for kind in ("alpha", "beta"):
            weights[f"{name}.act.{kind}"] = wave(f"{name}{kind}", width, scale=0.1)
        taps = torch.tensor([0.0020290, 0.0093895, -0.0255435, -0.0576574, 0.1285726, 0.4432098])
        for kind in ("upsample.filter", "downsample.lowpass.filter"):
            weights[f"{name}.{kind}"] = torch.cat([taps, taps.flip(0)]).view(1, 1, 12)

    convolution("conv_pre", channels, bands, 7, width=channels)
    width = channels
    for i, rate in enumerate(rates):
        convolution(f"ups.{i}.0", width, width // 2, 2 * rate, width=width // 2)
        width //= 2
        for j, kernel in enumerate((3, 7, 11)):
            block = f"resblocks.{3 * i + j}."
            for k in range(3):
                for name in ("convs1", "convs2"):
                    convolution(f"{block}{name}.{k}", width, width, kernel, width=width)
            for k in range(6):
                activation(f"{block}activations.{k}", width)
    activation("activation_post", width)
    convolution("conv_post", 1, width, 7, width=int(bias))
    return {"generator": weights}


def improved_diffusion(channels=128, blocks=3, colours=3, levels=(1, 2, 3, 4), learn_sigma=True):
    """``imagenet64_uncond_100M_1500K.pt``, a bare state dict."""
    shapes, time = {}, 4 * channels

    def layer(name, *shape):
        shapes.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    def residual(name, narrow, wide):
        layer(f"{name}.in_layers.0", narrow)
        layer(f"{name}.in_layers.2", wide, narrow, 3, 3)
        layer(f"{name}.emb_layers.1", 2 * wide, time)
        layer(f"{name}.out_layers.0", wide)
        layer(f"{name}.out_layers.3", wide, wide, 3, 3)
        if narrow != wide:
            layer(f"{name}.skip_connection", wide, narrow, 1, 1)

    def attention(name, width):
        layer(f"{name}.norm", width)
        layer(f"{name}.qkv", 3 * width, width, 1)
        layer(f"{name}.proj_out", width, width, 1)

    layer("time_embed.0", time, channels)
    layer("time_embed.2", time, time)
    layer("input_blocks.0.0", channels, colours, 3, 3)
    skips, width, at = [channels], channels, 1
    for level, multiple in enumerate(levels):
        for _ in range(blocks):
            residual(f"input_blocks.{at}.0", width, multiple * channels)
            width = multiple * channels
            if level >= 2:  # pictures of 16 x 16 and 8 x 8
                attention(f"input_blocks.{at}.1", width)
            skips.append(width)
            at += 1
        if level < len(levels) - 1:
            layer(f"input_blocks.{at}.0.op", width, width, 3, 3)
            skips.append(width)
            at += 1
    residual("middle_block.0", width, width)
    attention("middle_block.1", width)
    residual("middle_block.2", width, width)
    at = 0
    for level, multiple in reversed(list(enumerate(levels))):
        for block in range(blocks + 1):
            residual(f"output_blocks.{at}.0", width + skips.pop(), multiple * channels)
            width = multiple * channels
            if level >= 2:
                attention(f"output_blocks.{at}.1", width)
            if level and block == blocks:
                layer(f"output_blocks.{at}.{2 if level >= 2 else 1}.conv", width, width, 3, 3)
            at += 1
    layer("out.0", channels)
    layer("out.2", colours * (2 if learn_sigma else 1), channels, 3, 3)
    return filled(shapes)
