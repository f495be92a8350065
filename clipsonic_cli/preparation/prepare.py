"""From clips to shards: decoded side by side, encoded here, kept.

Knows: what is done already, and which process does what. Does not know: how a clip is decoded
(``decode.py``), nor how shards are laid out (``shards.py``).
"""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec, PreparationConfig
from clipsonic_cli.data.check import Flaw, Rules
from clipsonic_cli.data.workers import Failed, each
from clipsonic_cli.encoders.clip import Clip as ClipEncoder
from clipsonic_cli.preparation.decode import Decoded, decode
from clipsonic_cli.preparation.shards import (
    SUFFIX,
    BadShard,
    Index,
    Row,
    key_of,
    read_index,
    write_shard,
)
from clipsonic_cli.types import Clip, Report, silent

SHARD_CLIPS = 128
SHARD_SECONDS = 30.0
"""A shard ends with this many clips or after this much time: what a killed process loses."""
AT_ONCE = 64
"""Frames the image encoder sees at once."""
PIECE = 2048
"""Frames of mel made at once, about a minute."""
MARGIN = 4
"""Frames around a piece, so that the mel inside knows nothing of its ends."""


def folder_name(config: PreparationConfig, rules: Rules) -> str:
    """Gives 12 hexadecimal digits that change with what is kept and how clips are judged."""
    judged = dataclasses.asdict(dataclasses.replace(rules, window_seconds=0.0, drop=frozenset()))
    told = json.dumps([dataclasses.asdict(config), {**judged, "drop": None}], sort_keys=True)
    return blake2b(told.encode(), digest_size=6).hexdigest()


def prepare(
    clips: Sequence[Clip],
    folder: Path,
    config: PreparationConfig,
    *,
    clip_encoder: ClipEncoder | None,
    rules: Rules,
    workers: int,
    share: tuple[int, int] = (0, 1),
    device: torch.device | None = None,
    report: Report = silent,
) -> None:
    """Prepares what is not yet prepared; a clip that cannot be is noted with the reason.

    Args:
        clips: The data set.
        folder: Of shards of this configuration, and of no other (:func:`folder_name`).
        config: What is kept.
        clip_encoder: The CLIP whose identity the configuration names.
        rules: What counts as a flaw.
        workers: Processes that decode; 0 decodes here.
        share: This process's number and how many processes there are, each of which takes its
            part of the clips; all see the same folder.
        device: Where mels are computed.
        report: Told the clips done and to do.

    Raises:
        ValueError: The encoder is not the configuration's.
        OSError: The disk refuses, or is full; what was written before stays.
    """
    if (clip_encoder and clip_encoder.identity) != config.encoder:
        raise ValueError(f"the configuration names the encoder {config.encoder}")
    folder.mkdir(parents=True, exist_ok=True)
    known = {row.key for index in indices(folder) for row in index.rows}
    mine = ((clip, key_of(clip)) for clip in clips)
    number, count = share
    todo = [
        (clip, key) for clip, key in mine if key not in known and int(key, 16) % count == number
    ]
    rules = dataclasses.replace(rules, window_seconds=0.0, sample_rate=config.mel.sample_rate)
    size = clip_encoder.config.image_size if clip_encoder else None
    task = partial(decode, rules=rules, frame_rate=config.frame_rate, size=size)
    looked = each(task, [clip for clip, _ in todo], workers=workers)
    shard = _Shard(folder, config, clip_encoder, device or torch.device("cpu"))
    report("prepare", 0, len(todo))
    for done, ((clip, key), (_, result)) in enumerate(zip(todo, looked, strict=True), start=1):
        shard.add(clip, key, result)
        report("prepare", done, len(todo))
    shard.write()


def indices(folder: Path) -> Iterator[Index]:
    """Gives what the shards of a folder hold; one that is damaged is deleted, to be made again."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield read_index(str(path))
        except BadShard:
            path.unlink()


class _Shard:
    """The shard that is being filled.

    Args:
        folder: Where it goes.
        config: What is kept.
        clip_encoder: The CLIP, or None.
        device: Where mels are computed.
    """

    def __init__(
        self,
        folder: Path,
        config: PreparationConfig,
        clip_encoder: ClipEncoder | None,
        device: torch.device,
    ) -> None:
        self.folder, self.config, self.clip_encoder = folder, config, clip_encoder
        self.device, self.log_mel = device, LogMel(config.mel).to(device)
        self._begin()

    def _begin(self) -> None:
        self.rows: list[Row] = []
        self.arrays: dict[str, list[NDArray[Any]]] = {"mel": [], "frames": [], "wave": []}
        self.waiting: list[NDArray[np.uint8]] = []  # frames to be encoded
        self.since = time.monotonic()

    def add(self, clip: Clip, key: str, result: Decoded | Flaw | Failed) -> None:
        """Takes a clip, and writes the shard when it is full."""
        self.rows.append(self._row(clip, key, result))
        full = len(self.rows) == SHARD_CLIPS
        if full or time.monotonic() - self.since > SHARD_SECONDS:
            self.write()

    def _row(self, clip: Clip, key: str, result: Decoded | Flaw | Failed) -> Row:
        if not isinstance(result, Decoded):
            flaw = result if isinstance(result, Flaw) else None
            flaw = flaw or Flaw(kind="unreadable", reason=result.reason)
            return Row(id=clip.id, key=key, flaws=(flaw,))
        mel = self._mel(result.samples)
        self.arrays["mel"] += [mel] if len(mel) else []
        if self.config.waves:
            self.arrays["wave"].append(result.samples)
        self.waiting.append(result.frames)
        if sum(map(len, self.waiting)) >= AT_ONCE:
            self._encode()
        return Row(
            id=clip.id,
            key=key,
            digest=result.digest.hex(),
            seconds=len(result.samples) / self.config.mel.sample_rate,
            flaws=result.flaws,
            mel=len(mel),
            frames=len(result.frames),
            frame_rate=result.frame_rate,
            wave=len(result.samples) if self.config.waves else 0,
        )

    def _mel(self, samples: NDArray[np.int16]) -> NDArray[np.float16]:
        wave = torch.from_numpy(samples).to(self.device).float() / 32767
        return mel_of(wave, self.log_mel).half().cpu().numpy()

    def _encode(self) -> None:
        frames, self.waiting = self.waiting, []
        squares = np.concatenate(frames) if frames else np.zeros((0,), np.uint8)
        if self.clip_encoder is None or not len(squares):
            return
        for start in range(0, len(squares), AT_ONCE):
            embeds = self.clip_encoder.embed_squares(squares[start : start + AT_ONCE])
            self.arrays["frames"].append(embeds.half().numpy())

    def write(self) -> None:
        """Writes what there is, and begins the next shard."""
        self._encode()
        if self.rows:
            write_shard(self.folder, self.rows, self.arrays)
        self._begin()


def mel_of(wave: torch.Tensor, log_mel: LogMel) -> torch.Tensor:
    """Gives the mel of a sound of any length, a minute at a time.

    Args:
        wave: (N,) in [-1, 1].
        log_mel: Of the geometry wanted.

    Returns:
        (T, F) natural logarithm, T = floor(N / hop_length); what ``log_mel`` gives for the whole.
        None (T = 0) where N is too small to be reflected at its ends.
    """
    spec: MelSpec = log_mel.spec
    hop, total = spec.hop_length, len(wave) // spec.hop_length
    if len(wave) <= (spec.n_fft - hop) // 2:
        return wave.new_zeros(0, spec.n_mels)
    pieces, start = [], 0
    while start < total:
        # The last piece may be twice as long, so that none is too short to be reflected.
        stop = start + PIECE if total - start >= 2 * PIECE else total
        left, end = max(0, start - MARGIN), len(wave) if stop == total else (stop + MARGIN) * hop
        mel = log_mel(wave[None, left * hop : end])[0, 0]  # (F, T)
        pieces.append(mel[:, start - left : stop - left].T)
        start = stop
    return torch.cat(pieces)
