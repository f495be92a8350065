"""What a run is trained on: a data set, listed, prepared and checked."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from clipsonic_cli.atomic import why_unwritable
from clipsonic_cli.data.check import DROP, Rules
from clipsonic_cli.data.clips import is_address
from clipsonic_cli.data.listing import list_clips
from clipsonic_cli.data.media import read_frames
from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.data.report import Survey, summarize
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.data.splits import ENOUGH, SplitDraw
from clipsonic_cli.device import cores
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.errors import UsageError
from clipsonic_cli.preparation.catalogue import Catalogue, collect, is_catalogue, read_catalogue
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.preparation.prepare import folder_name, indices, prepare
from clipsonic_cli.store.home import REMEDY, NoHome, cache_home
from clipsonic_cli.text import counted
from clipsonic_cli.training.request import SILENT, Source, TrainCallbacks, TrainRequest
from clipsonic_cli.training.stage_row import Encoder
from clipsonic_cli.types import Clip, Space, Split

T = TypeVar("T")

PROMPTS, FRAMES = 3, 2
"""Labels and frames that samples are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """A data set, prepared."""

    catalogue: Catalogue
    """Clips fit for training, and those held out."""
    path: str
    """The catalogue's own path or address."""
    survey: Survey | None
    """None for a catalogue that was prepared before."""
    clips: Sequence[Clip]
    """Clips as the reader listed them; none for a catalogue that was prepared before."""
    splits: SplitDraw | None = None
    """How splits were drawn; None where they are stated, or those of such a catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedData:
    """A data set, listed, and how its clips are prepared."""

    clips: Sequence[Clip]
    left_out: Mapping[str, str]
    """Files that belong to no clip, with the reason."""
    splits: SplitDraw | None
    """How splits were drawn; None where they are stated."""
    clip: ClipModel | None
    """The CLIP that embeds frames, if they are needed."""
    config: PreparationConfig
    rules: Rules
    folder: str
    """Name of the folder of prepared clips."""


def gather(
    request: TrainRequest,
    encoder: Encoder | None,
    accelerator: Accelerator,
    callbacks: TrainCallbacks = SILENT,
) -> PreparedData:
    """Prepare the clips that are not prepared yet, together with the other processes.

    The encoder is the CLIP that embeds their frames, if they need any. The catalogue is empty where
    no clip is fit for training.

    Raises:
        UsageError: There is no such data set, none of its clips has a label though they need them,
            or the catalogue was prepared for something else.
    """
    if is_catalogue(request.source.data):
        return read_prepared(request, encoder)
    listed = list_data(request, encoder, callbacks.on_message)

    # Prepare.
    # The main process's choice holds for all, which share the folder.
    spare = request.run_dir / "prepared"
    (folder,) = broadcast_object_list([_folder(listed.folder, spare, callbacks.on_message)])
    prepared = prepare(
        listed.clips,
        folder,
        listed.config,
        clip_encoder=listed.clip,
        rules=listed.rules,
        workers=workers_of(request.source),
        share=(accelerator.process_index, accelerator.num_processes),
        device=accelerator.device,
        report=callbacks.on_progress,
    )
    if not prepared:
        callbacks.on_message("the clips are already prepared")
    accelerator.wait_for_everyone()

    # Collect.
    clips, rules = listed.clips, listed.rules
    catalogue, findings = collect(clips, indices(folder), folder, listed.config, rules)
    survey = replace(summarize(findings), left_out=listed.left_out)
    path = str(catalogue.write()) if accelerator.is_main_process else ""
    return PreparedData(
        catalogue=catalogue, path=path, survey=survey, clips=clips, splits=listed.splits
    )


def read_prepared(request: TrainRequest, encoder: Encoder | None) -> PreparedData:
    """Read a catalogue of clips that were prepared before; see :func:`gather`."""
    source, part = request.source, request.part
    identity = encoder.identity if encoder is not None and part.frames else None
    catalogue = read_catalogue(source.data)
    have = catalogue.config
    need = PreparationConfig(encoder=identity, waves=part.waves, crops=request.extensions.crops)
    other = identity is not None and have.encoder != identity
    if other or need.crops > have.crops or (need.waves and not have.waves):
        raise UsageError(
            f"{source.data} was prepared for another training: this one needs {_contents(need)}, "
            f"there are {_contents(have)}. Give the videos themselves."
        )
    if part.labels and not any(catalogue.labels):
        raise _unlabeled(source)
    _check_shares(source, ())
    path = source.data if is_address(source.data) else str(Path(source.data).absolute())
    return PreparedData(catalogue=catalogue, path=path, survey=None, clips=())


def list_data(
    request: TrainRequest, encoder: Encoder | None, on_message: Callable[[str], None]
) -> ListedData:
    """List a data set, say how it was read, and decide how its clips are prepared."""
    source, part = request.source, request.part
    clip = encoder if isinstance(encoder, ClipModel) and part.frames else None
    identity = None if clip is None else clip.identity
    config = PreparationConfig(
        frame_rate=source.frame_rate,
        encoder=identity,
        waves=part.waves,
        crops=request.extensions.crops,
    )
    least_frames = request.row.least_frames(request.extensions.window, config.mel)
    rules = Rules(
        sample_rate=config.mel.sample_rate,
        window_seconds=config.mel.seconds(least_frames),
        drop=DROP | set(source.drop),
    )
    splits = _splits(source, paper=request.preset == "paper")
    listing = list_clips(source.data, format=source.format, splits=splits)
    _check_shares(source, listing.drawn)
    for note in listing.notes:
        on_message(note)
    if clip is not None and config.crops:
        on_message(
            f"each frame is embedded {1 + config.crops} times, whole and as "
            f"{counted(config.crops, 'random crop')}: as many times the work of CLIP, and "
            f"{2 * config.crops * clip.dim / 1000:.1f} kB more on disk"
        )
    if listing.drawn:
        on_message(_how_drawn(splits, listing.drawn))
    if part.labels and all(clip.label is None for clip in listing.clips):
        raise _unlabeled(source)
    return ListedData(
        clips=listing.clips,
        left_out=listing.left_out,
        splits=splits if listing.drawn else None,
        clip=clip,
        config=config,
        rules=rules,
        folder=f"{name_of(source.data)}-{folder_name(config, rules)}",
    )


def _splits(source: Source, *, paper: bool) -> SplitDraw:
    """Return how splits are drawn: by the requested shares, else the preset's."""
    usual = SplitDraw(seed=source.seed)
    valid = 0.0 if paper else usual.valid_share
    return replace(
        usual,
        test_share=usual.test_share if source.test_share is None else source.test_share,
        valid_share=valid if source.valid_share is None else source.valid_share,
    )


def _check_shares(source: Source, drawn: Sequence[Split]) -> None:
    """Check that no share is requested of a split that the data set states."""
    for split, share in (("test", source.test_share), ("valid", source.valid_share)):
        if share and split not in drawn:
            raise UsageError(
                f"`{split}_share` is {share:g}, but the splits of '{source.data}' are stated, not "
                "drawn. Leave it out."
            )


def _how_drawn(splits: SplitDraw, drawn: Sequence[Split]) -> str:
    """Format how splits were drawn."""
    rest = "rest" if "test" in drawn else "videos for training"
    shares = {
        "test": (splits.test_share, "videos", 2),
        "valid": (splits.valid_share, rest, ENOUGH),
    }
    ways = [
        f"{split} {100 * share:.3g} % of the {of}, at least one of each label with {enough} "
        f"(`{split}_share`)"
        for split, (share, of, enough) in shares.items()
        if split in drawn
    ]
    return f"splits drawn: {'; '.join(ways)}"


def _contents(config: PreparationConfig) -> str:
    """Format what prepared clips hold besides mels."""
    held = []
    if config.encoder is not None:
        held.append(f"frames seen by '{config.encoder}'")
    if config.crops:
        held.append(f"{counted(config.crops, 'crop')} of each")
    if config.waves:
        held.append("sounds")
    return " and ".join(held) or "mels alone"


def workers_of(source: Source) -> int:
    """Return how many processes decode."""
    return cores() if source.workers is None else source.workers


def _folder(name: str, spare: Path, on_message: Callable[[str], None]) -> Path:
    """Choose the folder of prepared clips: in the cache, else in ``spare``."""
    try:
        folder = cache_home() / "prepared" / name
        if (why := why_unwritable(folder)) is None:
            return folder
        reason = f"{folder} cannot be written ({why}). {REMEDY}"
    except NoHome as error:
        reason = str(error)
    on_message(f"note: prepared clips are kept in {spare}, for this run alone. {reason}")
    return spare.absolute() / name


def name_of(data: str) -> str:
    """Return a short name for a data set: that of its folder, list or shards."""
    last = Path(data.partition("?")[0]).resolve().name
    name = "".join(c if c.isalnum() else "-" for c in last.partition(".")[0]).strip("-")
    return name or "model"


def check_any(prepared: PreparedData, data: str) -> None:
    """Check that there is a clip to train on."""
    survey = prepared.survey
    if survey is not None and not survey.kept:
        first = next(finding for finding in survey.flawed if finding.dropped)
        raise UsageError(
            f"None of the {survey.found} clips of '{data}' can be trained on: "
            + ", ".join(f"{count} {kind}" for kind, count in survey.flaws.items() if count)
            + f". The first: '{first.clip.id}' is {first.flaws[0].kind} ({first.flaws[0].reason}). "
            "data.csv in the run's folder lists all."
        )
    splits = prepared.catalogue.splits
    if "train" not in splits:
        held = ", ".join(f"{count} {split}" for split, count in Counter(splits).items())
        raise UsageError(
            f"No clip of '{data}' is there to train on: all are held out ({held}). Add clips, or "
            "draw other splits with another `seed`, if the data set states none."
        )


def _unlabeled(source: Source) -> UsageError:
    return UsageError(
        f"The clips of '{source.data}' have no labels, which this training needs. Put each video "
        "into a folder that names its sound, such as violin/; or train the stage 'unet' "
        "conditioned on clip-image, which needs none."
    )


def prompts_of(prepared: PreparedData, space: Space) -> list[str]:
    """Return the prompts of a space for some labels."""
    labels = sorted({label for label in prepared.catalogue.labels if label is not None})
    return [prompt(label, space) for label in spread(labels, PROMPTS)]


def save_frames(
    prepared: PreparedData, folder: Path, *, on_message: Callable[[str], None]
) -> list[Path]:
    """Write a frame of each of some clips as an image, held-out ones where there are any.

    ``on_message`` is called for every clip that is left out, as its file has changed since it was
    prepared; and for a data set that is a catalogue, which has no videos.
    """
    if not prepared.clips:
        on_message(
            "no samples of frames: clips that were prepared before are here without their videos "
            "(give an image as `prompts`)"
        )
    splits = dict(zip(prepared.catalogue.ids, prepared.catalogue.splits, strict=True))
    usable = [clip for clip in prepared.clips if clip.id in splits]
    held = [clip for clip in usable if splits[clip.id] == "valid"] or usable
    images = []
    for number, clip in enumerate(spread(held, FRAMES), start=1):
        path = folder / f"frame-{number}.png"
        try:
            frame = next(read_frames(clip, [1.0]))
        except Unreadable as error:  # it was read before, but files change
            on_message(
                f"no sample of {path.name}: '{clip.id}' cannot be read any more ({error.reason})"
            )
            continue
        folder.mkdir(parents=True, exist_ok=True)
        frame.save(path)
        images.append(path)
    return images


def spread(values: Sequence[T], count: int) -> list[T]:
    """Return as many values, evenly spaced."""
    count = min(count, len(values))
    return [values[number * len(values) // count] for number in range(count)]
