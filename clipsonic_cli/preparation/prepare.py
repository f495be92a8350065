"""Prepare clips: decode them in worker processes, encode them here, and write shards.

What is kept of a clip depends on the clip alone, not on others or on when a preparation was killed.
"""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.data.check import Flaw, Rules
from clipsonic_cli.data.workers import Failed, each
from clipsonic_cli.encoders.clip import ClipModel as ClipEncoder
from clipsonic_cli.preparation import feature_shards
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.preparation.decode import Decoded, decode
from clipsonic_cli.preparation.feature_shards import ClipTensors, Index, key_of
from clipsonic_cli.preparation.mels import mel_of
from clipsonic_cli.text import digest
from clipsonic_cli.types import Clip, Report, silent

SHARD_CLIPS = 128
SHARD_SECONDS = 30.0
"""A shard ends with this many clips or after this much time: what a killed process loses."""
SHARD_BYTES = 128 << 20
"""Or with this much data, as clips may be an hour long; three times as much is held in memory."""
AT_ONCE = 16
"""Images in a batch of the image encoder, all of one clip: embeddings depend slightly on the rest
of their batch."""
PATIENCE = 1200.0
"""Seconds after which a decoder is killed; an hour of video has many frames."""
ABANDONED = 3600.0
"""Seconds after which a killed process's unfinished file is deleted; a live one needs few."""


def folder_name(config: PreparationConfig, rules: Rules) -> str:
    """Return 12 hexadecimal digits that change with what is kept and how clips are checked."""
    checked = dataclasses.asdict(dataclasses.replace(rules, window_seconds=0.0, drop=frozenset()))
    kept = [feature_shards.FORMAT, config.to_dict(), checked]
    return digest(json.dumps(kept, sort_keys=True, default=list))


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
) -> int:
    """Prepare the clips that are not yet prepared; store the reason for those that cannot be.

    Clips that could not be read are tried again each time: the web or a permission may have been
    missing, or FFmpeg was updated. Those in which the reader found a problem are not.

    Args:
        clips: The data set.
        folder: Folder of shards of this configuration only (:func:`folder_name`).
        config: What is kept of each clip.
        clip_encoder: The CLIP of the identity in the configuration, or None.
        rules: What counts as a flaw.
        workers: Processes that decode; 0 decodes in this one.
        share: Number of this process, and how many processes share the clips and the folder.
        device: Device on which mels are computed.
        report: Receives the number of clips done, and of all.

    Returns:
        How many clips were not yet prepared.
    """
    if (clip_encoder and clip_encoder.identity) != config.encoder:
        raise ValueError(f"the configuration names the encoder {config.encoder}")
    folder.mkdir(parents=True, exist_ok=True)
    # Delete unfinished files of killed processes, but not those that others are writing.
    for left in folder.glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()

    # Find the clips of this process that are not done.
    seen, readable = set[str](), set[str]()
    for index in indices(folder):
        seen.update(row.key for row in index.rows)
        readable.update(row.key for row in index.rows if row.digest)
    number, count = share
    todo = [
        (clip, key)
        for clip, key in ((clip, key_of(clip)) for clip in clips)
        if key not in (readable if clip.problem is None else seen)
        and int(key, 16) % count == number
    ]

    if not todo:
        return 0

    # Decode in the workers, and encode in a thread while they are given clips.
    rules = dataclasses.replace(rules, sample_rate=config.mel.sample_rate)
    size = clip_encoder.config.image_size if clip_encoder else None
    task = partial(decode, rules=rules, frame_rate=config.frame_rate, size=size, crops=config.crops)
    looked = each(task, [clip for clip, _ in todo], workers=workers, seconds=PATIENCE)
    shard = _Shard(folder, config, clip_encoder, device or torch.device("cpu"))
    report("prepare", 0, len(todo))
    before: Future[None] | None = None
    with ThreadPoolExecutor(1, "encode") as encoding:
        for done, ((clip, key), (_, result)) in enumerate(zip(todo, looked, strict=True), start=1):
            if before is not None:
                before.result()
            report("prepare", done, len(todo))
            before = encoding.submit(shard.add, clip, key, result)
    if before is not None:
        before.result()
    shard.write()
    return len(todo)


def indices(folder: Path) -> Iterator[Index]:
    """Yield the indices of a folder's shards; delete damaged ones, which are then made again."""
    for path in sorted(folder.glob(feature_shards.PATTERN)):
        try:
            yield feature_shards.read_index(str(path))
        except FileNotFoundError:  # another process has deleted it
            continue
        except feature_shards.BadShard:
            path.unlink(missing_ok=True)


class _Shard:
    """Encodes clips, and writes a shard when enough are collected."""

    def __init__(
        self,
        folder: Path,
        config: PreparationConfig,
        clip_encoder: ClipEncoder | None,
        device: torch.device,
    ) -> None:
        self.folder, self.config, self.clip_encoder = folder, config, clip_encoder
        self.log_mel = LogMel(config.mel).to(device)
        self._begin()

    def _begin(self) -> None:
        self.rows: list[ClipTensors] = []
        self.arrays: dict[str, list[NDArray[Any]]] = {"mel": [], "frames": [], "wave": []}
        self.since = time.monotonic()

    def add(self, clip: Clip, key: str, result: Decoded | Flaw | Failed) -> None:
        """Add a clip, and write the shard if it is full."""
        self.rows.append(self._row(clip, key, result))
        size = sum(part.nbytes for parts in self.arrays.values() for part in parts)
        full = len(self.rows) == SHARD_CLIPS or size >= SHARD_BYTES
        if full or time.monotonic() - self.since > SHARD_SECONDS:
            self.write()

    def _row(self, clip: Clip, key: str, result: Decoded | Flaw | Failed) -> ClipTensors:
        if not isinstance(result, Decoded):
            flaw = Flaw(kind="unreadable", reason=result.reason)
            return ClipTensors(id=clip.id, key=key, flaws=(flaw,))
        wave = torch.from_numpy(result.samples).to(self.log_mel.window.device)
        mel = mel_of(wave, self.log_mel).half().cpu().numpy()
        self.arrays["mel"] += [mel] if len(mel) else []
        if self.config.waves:
            self.arrays["wave"].append(feature_shards.to_int16(result.samples))
        if self.clip_encoder is not None:
            self.arrays["frames"].append(self._embed(result.views))
        return ClipTensors(
            id=clip.id,
            key=key,
            digest=result.digest.hex(),
            seconds=len(result.samples) / self.config.mel.sample_rate,
            flaws=result.flaws,
            mel=len(mel),
            frames=len(result.views),
            frame_rate=result.frame_rate,
            wave=len(result.samples) if self.config.waves else 0,
        )

    def _embed(self, views: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Embed the views (n, V, S, S, 3) of a clip's frames: (n, V, D), or (n, D) for V = 1."""
        assert self.clip_encoder is not None  # as the caller made sure
        squares = views.reshape(-1, *views.shape[2:])
        parts = [squares[start : start + AT_ONCE] for start in range(0, len(squares), AT_ONCE)]
        rows = torch.cat([self.clip_encoder.embed_squares(part) for part in parts]).half().numpy()
        return rows.reshape(*views.shape[:2], -1) if self.config.crops else rows

    def write(self) -> None:
        """Write the clips collected, and begin the next shard."""
        if self.rows:
            feature_shards.write_shard(self.folder, self.rows, self.arrays)
        self._begin()
