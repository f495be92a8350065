"""A run's networks, losses and data, built from its configuration."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from clipsonic_cli.data.clips import is_address
from clipsonic_cli.errors import UsageError
from clipsonic_cli.preparation.catalogue import Catalogue
from clipsonic_cli.preparation.dataset import Drawn, Prepared
from clipsonic_cli.preparation.texts import encode_labels
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.home import cache_home
from clipsonic_cli.trainer.objective import Objective
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.stage_row import Encoder
from clipsonic_cli.training.warm_start import WarmStart, start_with
from clipsonic_cli.types import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Networks, losses and data, ready to be trained."""

    objective: Objective
    dataset: Drawn
    held_out: Drawn | None
    """Validation clips; None where there are none."""
    header: Header
    """Header of the part's file, without ``meta``."""

    @property
    def network(self) -> nn.Module:
        """The network that is kept."""
        return self.objective.networks[self.objective.main]


def build(
    config: RunConfig, catalogue: Catalogue, encoder: Encoder | None, start: WarmStart | None
) -> Setup:
    """Build networks with random weights, drawn from the run's seed, and their data.

    A warm start's weights are loaded into the network that is kept.

    Raises:
        UsageError: No clip can be used.
        BadBundle: The warm start is another network's.
    """
    row, spec = config.row, catalogue.config.mel
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights from no other
        torch.manual_seed(config.train.seed)
        objective = row.objective(config, spec)

    # Data.
    mel_frames = row.least_frames(config.extensions.window, spec)
    texts = None
    if encoder is not None and config.part.labels:
        remote = is_address(catalogue.folder)
        folder = cache_home() / "prepared" if remote else Path(catalogue.folder)
        labels = sorted({label for label in catalogue.labels if label is not None})
        texts = encode_labels(labels, encoder, folder)

    def drawn(split: Split) -> Drawn | None:
        clips = catalogue.numbers(split, mel_frames=mel_frames)
        if texts is not None:
            clips = [clip for clip in clips if catalogue.labels[clip] in texts.rows]
        # Held-out losses are of whole frames.
        views = config.extensions if split == "train" else replace(config.extensions, crops=0)
        return row.dataset(Prepared(catalogue, clips), texts, views) if clips else None

    dataset = drawn("train")
    if dataset is None:
        raise UsageError(
            f"No clip of '{config.data}' can be used for the stage '{config.stage}' conditioned on "
            f"{config.space}: it must be as long as a window, and where labels are read, have one "
            "with a word that the encoder knows."
        )
    header = Header(
        kind=config.stage,
        config=config.network,
        mel=spec if mel_frames else None,  # priors and bridges make no mel
        diffusion=None if config.diffusion is None else row.left_with(config.diffusion),
        space=None if encoder is None else config.space,
        encoder=None if encoder is None else encoder.identity,
    )
    setup = Setup(objective=objective, dataset=dataset, held_out=drawn("valid"), header=header)
    if start is not None:
        start_with(setup.network, start)
    if row.measure is not None:
        row.measure(setup.network, dataset.clips, encoder, config.train.seed)
    return setup
