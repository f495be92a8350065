"""Sounds and texts to CLAP embeddings, exactly as LAION's own code makes them, and repeatably.

Knows: the mel CLAP listens to, RoBERTa's tokens, bundles. Does not know: what the vectors are for,
nor sound files (``audio/files.py``).
"""

import functools
from collections.abc import Callable, Sequence

import soxr
import torch
from torch import Tensor

from clipsonic_cli.encoders.clip import TOKENIZER, texts_of
from clipsonic_cli.encoders.tokenizers import bytes_of, checked
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.models.clap import N_MELS, PAD_ID, ClapConfig, ClapNetwork, build_clap
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.text import check_words
from clipsonic_cli.types import Condition, Noise, Query, Report, Waveform, silent

Tokenize = Callable[[Sequence[str]], Tensor]

SAMPLE_RATE = 48_000
N_FFT = 1024
HOP_LENGTH = 480
F_MIN, F_MAX = 50.0, 14_000.0
POWER_FLOOR = 1e-10
"""-100 dB."""
SAMPLES = 480_000
"""What CLAP hears at once: 10 s."""
FULL_SCALE = 32_767
BATCH = 16


class ClapModel:
    """A CLAP with its tokenizer and its mel.

    Args:
        network: The weights at work.
        config: What they are.
        tokenize: Texts to ids (B, L), cut to L tokens.
        identity: Name that changes with the weights. Scores of different CLAPs cannot be compared,
            and models trained on the vectors store it.
    """

    def __init__(
        self, network: ClapNetwork, config: ClapConfig, tokenize: Tokenize, identity: str
    ) -> None:
        self.network = network
        self.config = config
        self.tokenize = tokenize
        self.identity = identity

    @property
    def dim(self) -> int:
        """Size D of the embeddings."""
        return self.config.dim

    def embed_audio(self, waveforms: Sequence[Waveform], *, report: Report = silent) -> Tensor:
        """Gives embeddings of sounds; the same sound gives the same embedding.

        Args:
            waveforms: Mono, of any sample rate and length up to 10 s.
            report: Told after every batch.

        Returns:
            (B, D) float32 on the CPU, rows of unit norm.

        Raises:
            UsageError: A sound is longer (see :func:`log_mel`).
            ValueError: A waveform is empty, not (N,), or not finite.
        """
        rows: list[Tensor] = [torch.empty(0, self.dim)]
        for start in range(0, len(waveforms), BATCH):
            mel = torch.stack([log_mel(w) for w in waveforms[start : start + BATCH]])
            with torch.inference_mode():
                rows.append(self.network.encode_audio(mel.to(self._device)).float().cpu())
            report("audio", min(start + BATCH, len(waveforms)), len(waveforms))
        return torch.cat(rows).clone()

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Gives embeddings of texts.

        Args:
            texts: Prompts; what goes beyond ``config.max_text_len`` tokens (77) is cut off.

        Returns:
            (B, D) float32 on the CPU, rows of unit norm.

        Raises:
            UsageError: A text has no words.
        """
        rows: list[Tensor] = [torch.empty(0, self.dim)]
        for text in texts:
            check_words(text)
        for start in range(0, len(texts), BATCH):
            ids = self.tokenize(texts[start : start + BATCH])  # (B, L)
            with torch.inference_mode():
                rows.append(self.network.encode_text(ids.to(self._device)).float().cpu())
        return torch.cat(rows).clone()

    def to(self, device: torch.device | str) -> "ClapModel":
        """Moves the weights, and gives itself back."""
        self.network.to(device)
        return self

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def load_clap(bundle: Bundle) -> ClapModel:
    """Builds the CLAP a bundle describes and fills it with the bundle's weights, in float32.

    Raises:
        BadBundle: The weights do not fit the configuration, or it is not one of a CLAP.
        ClipsonicError: transformers is missing; says how to install it.
    """
    if bundle.header.kind != "clap" or bundle.header.encoder is None:
        raise BadBundle(f"A CLAP bundle is needed, this one holds a {bundle.header.kind}.")
    try:
        config = from_dict(ClapConfig, bundle.header.config, "config")
    except ValueError as error:
        raise BadBundle(
            f"The CLAP bundle has a configuration that cannot be used: {error}."
        ) from None
    if TOKENIZER not in bundle.weights:
        raise BadBundle(f"The CLAP bundle lacks its '{TOKENIZER}'.")
    weights = {name: w for name, w in bundle.weights.items() if name != TOKENIZER}
    tokenize = word_pieces(bytes_of(bundle.weights[TOKENIZER]), config)
    return ClapModel(build_clap(config, weights), config, tokenize, bundle.header.encoder)


def word_pieces(description: bytes, config: ClapConfig) -> Tokenize:
    """Gives RoBERTa's tokenizer: texts to ids (B, max_text_len), padded as CLAP was trained.

    Args:
        description: A ``tokenizer.json`` of the tokenizers library.
        config: Of the network that reads the ids.

    Raises:
        BadBundle: The description is not one, or not of this network.
    """
    from tokenizers import Tokenizer

    text = checked(description, "CLAP")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise BadBundle(f"The CLAP bundle's tokenizer is damaged ({error}).") from None
    pad, size = tokenizer.token_to_id("<pad>"), tokenizer.get_vocab_size()
    if pad != PAD_ID or size > config.vocab_size:
        raise BadBundle(
            f"The CLAP bundle's tokenizer has {size} word pieces and <pad> as number {pad}; its "
            f"network reads {config.vocab_size}, with <pad> as number {PAD_ID}."
        )
    tokenizer.enable_truncation(config.max_text_len)
    tokenizer.enable_padding(length=config.max_text_len, pad_id=PAD_ID, pad_token="<pad>")

    def tokenize(texts: Sequence[str]) -> Tensor:
        return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])

    return tokenize


def log_mel(waveform: Waveform) -> Tensor:
    """Gives the mel CLAP listens to.

    The sound is resampled to 48 kHz, clipped, rounded towards zero to 16 bits, repeated as often as
    it fits into 10 s as a whole, and followed by silence. Of longer sounds LAION's code draws three
    excerpts at random, so that a score cannot be repeated; they are refused here: what is to be
    heard of them is the caller's to say.

    Args:
        waveform: Mono, up to 10 s; as in LAION's code, less than one frame more does not matter.

    Returns:
        (1, 1001, F) float32 in dB, silence is -100.

    Raises:
        UsageError: The sound is longer.
        ValueError: The waveform is empty, not (N,), or not finite.

    Source:
        Wu et al. 2023 and its published code.
    """
    samples = waveform.samples.detach().float().cpu()
    if samples.ndim != 1 or not samples.numel() or not samples.isfinite().all():
        raise ValueError(f"need finite samples (N,), got {tuple(samples.shape)}")
    if waveform.sample_rate != SAMPLE_RATE:
        resampled = soxr.resample(samples.numpy(), waveform.sample_rate, SAMPLE_RATE)
        samples = torch.from_numpy(resampled)
    if len(samples) >= SAMPLES + HOP_LENGTH:
        raise UsageError(
            f"CLAP hears at most {SAMPLES // SAMPLE_RATE} s, this sound lasts "
            f"{waveform.seconds:.2f} s: cut it, or score it window by window."
        )
    samples = (samples.clamp(-1, 1) * FULL_SCALE).trunc() / FULL_SCALE
    samples = samples.repeat(max(SAMPLES // len(samples), 1))
    samples = torch.nn.functional.pad(samples, (0, max(SAMPLES - len(samples), 0)))
    stft = torch.stft(
        samples.double(),  # in single precision, round-off beside a loud tone exceeds silence
        N_FFT,
        HOP_LENGTH,
        window=torch.hann_window(N_FFT, dtype=torch.float64),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )  # (n_fft // 2 + 1, T)
    mel = mel_filters() @ torch.view_as_real(stft).square().sum(-1)  # (F, T)
    return 10 * mel.clamp(min=POWER_FLOOR).log10().T.float()[None]


@functools.cache
def mel_filters() -> Tensor:
    """Gives triangles of height 1, evenly spaced on the HTK mel scale: (F, n_fft // 2 + 1) float64.

    Source:
        Young et al., The HTK Book: mel = 2595 log10(1 + Hz / 700).
    """
    ends = 2595 * (1 + torch.tensor([F_MIN, F_MAX], dtype=torch.float64) / 700).log10()
    mels = torch.linspace(float(ends[0]), float(ends[1]), N_MELS + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT
    left, centre, right = (c.unsqueeze(1) for c in (corners[:-2], corners[1:-1], corners[2:]))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)


class ClapTextEncoder:
    """Texts to CLAP-text space: mode ``clap-tta``.

    Args:
        clap: From :func:`load_clap`.
    """

    def __init__(self, clap: ClapModel) -> None:
        self.clap = clap

    def __call__(
        self,
        queries: Sequence[Query],
        *,
        noise: Noise,  # noqa: ARG002 -- the protocol's; CLAP is deterministic
        report: Report = silent,
    ) -> Condition:
        """Gives (B, D) of unit norm for B text queries; draws no noise.

        Raises:
            ValueError: A query is a picture.
            UsageError: A text has no words.
        """
        embed = self.clap.embed_text(texts_of(queries))
        report("text", len(queries), len(queries))
        return Condition(embed=embed, space="clap-text", encoder=self.clap.identity)
