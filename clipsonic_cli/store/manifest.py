"""Published weights this project can use: what, whose, where, how large, under which licence.

Standard library only. Adding weights is adding a row; ``clipsonic download``, the messages about
missing parts and the README's table follow. What becomes of a downloaded file is
``clipsonic_cli/published.py``'s to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of an asset.

    Args:
        name: What it is called on disk.
        urls: Where it is, the publisher's own place first.
        bytes: Its length; None where no source states it to the byte.
        sha256: Its digest in hexadecimal, or the first digits of it that the publisher states;
            None where nobody states one: it is then pinned at the first download.
        digest_from: Where the digest is stated, in words.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None = None
    sha256: str | None = None
    digest_from: str = "nowhere: pinned at the first download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Published weights.

    Args:
        name: What ``clipsonic download`` calls it.
        title: What it is, for tables.
        licence: SPDX name, or the publisher's words.
        page: Where its publisher describes it.
        files: Its files.
        size: About how large, where ``bytes`` of a file is not known.
        part: The part of a model it can stand in for ("clip", "prior", "clap"), or None.
        modes: Modes that need it.
        metrics: Metrics that need it.
        conditions: Conditions of ``clipsonic train`` that need it.
        stages: Stages of ``clipsonic train`` it is a warm start for.
    """

    name: str
    title: str
    licence: str
    page: str
    files: tuple[RemoteFile, ...]
    size: int
    part: str | None = None
    modes: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
