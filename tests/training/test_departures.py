"""The preset "paper" is the paper's training but for the table of departures."""

import dataclasses
import itertools
import math
import shutil
from pathlib import Path

import pytest
import torch
from make_media import clips_of, tone, write_media
from small_videos import write_videos

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec, PriorConfig, VocoderConfig
from clipsonic_cli.data.check import DROP, Rules
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.preparation.catalogue import read_catalogue
from clipsonic_cli.preparation.dataset import FramesAndSounds, Prepared, Segments
from clipsonic_cli.preparation.feature_shards import read_index
from clipsonic_cli.store import bundle
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.ema import share_of_start
from clipsonic_cli.trainer.optimizer import adamw, learning_rate
from clipsonic_cli.training.departures import ALL, DEPARTURES, OPEN, changed_from_paper, of_part
from clipsonic_cli.training.presets import paper_settings
from clipsonic_cli.training.request import Source, TrainCallbacks, TrainRequest
from clipsonic_cli.training.run import begin
from clipsonic_cli.training.run_config import Extensions, read_run_config
from clipsonic_cli.training.stages import STAGES
from clipsonic_cli.training.vocoder_stage import EPOCH

CPU = torch.device("cpu")
SHOWN: set[str] = set()


def shows(name):
    """Mark a test as the one that shows a departure."""

    def mark(test):
        SHOWN.add(name)
        return test

    return mark


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("CLIPSONIC_HOME", str(home))
        yield home
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("data") / "music", 12)


@pytest.fixture(scope="module")
def train(home, micro, tmp_path_factory):
    """Train micro's networks with the preset "paper": returns folder, outcome, messages."""
    runs, numbers = tmp_path_factory.mktemp("runs"), itertools.count()

    def train(data, loop=None, **wanted):
        messages, name = [], f"paper-{next(numbers)}"
        usual = {"preset": "paper", "base": str(micro), "warm_start": str(micro), "sample_every": 0}
        request = TrainRequest(
            source=Source(data=str(data), workers=0, seed=3),
            name=name,
            out=runs / name,
            train={"steps": 3, "batch_size": 1, "save_every": 1} | (loop or {}),
            **(usual | wanted),
        )
        return (
            request.run_dir,
            begin(request, device=CPU, callbacks=TrainCallbacks(on_message=messages.append)),
            messages,
        )

    yield train
    shutil.rmtree(runs)


@pytest.fixture(scope="module")
def run(train, videos):
    return train(videos)


def paper_network(stage):
    row = STAGES[stage]
    return dataclasses.replace(row.sizes["large"], **row.paper_network)


def published(outcome):
    return bundle.load(outcome.path / f"{outcome.part}.safetensors", kind="unet")


def test_all_training_clips_are_trained_on(run, videos):
    run_dir, _, messages = run
    catalogue = read_catalogue(read_run_config(run_dir).catalogue)
    listed = {
        clip.id
        for clip in clips_of(str(videos), splits=SplitDraw(seed=3, valid_share=0))
        if clip.split == "train"
    }
    assert {catalogue.ids[number] for number in catalogue.numbers("train")} == listed
    assert "valid" not in catalogue.splits
    assert (
        "no clips are held out (as in the paper): the last average is kept, not the best"
        in messages
    )


def test_the_last_average_is_published_in_float32(run):
    run_dir, outcome, _ = run
    last, kept = checkpoint.load_newest(run_dir), published(outcome)
    assert (last["step"], outcome.best, kept.header.meta.get("best")) == (3, None, None)
    assert {weight.dtype for weight in kept.weights.values()} == {torch.float32}
    assert all(torch.equal(weight, last["ema"][n]) for n, weight in kept.weights.items())


def test_the_average_has_no_warm_up(train, videos, micro):
    """After one step it is 0.9999 times the start and 0.0001 times the weights of now."""
    run_dir, outcome, messages = train(videos, {"steps": 1})
    start = bundle.load(micro / "unet.safetensors", kind="unet").weights
    now = checkpoint.load_newest(run_dir)["networks"]["unet"]
    for name, average in published(outcome).weights.items():
        expected = 0.9999 * start[name].float() + 0.0001 * now[name]
        torch.testing.assert_close(average, expected, rtol=1e-6, atol=1e-7)
    assert any(
        "the average still holds 100% of the weights it began with" in line for line in messages
    )


def test_a_stated_split_is_looked_at_and_still_the_last_average_is_published(train, videos):
    media = sorted(videos.rglob("*.mp4"))
    splits = ["valid"] * 3 + ["train"] * 9
    rows = [
        f"{path.relative_to(videos.parent)},{split}"
        for path, split in zip(media, splits, strict=True)
    ]
    listed = videos.parent / "list.csv"
    listed.write_text("\n".join(["media,split", *rows]) + "\n", encoding="utf-8")
    run_dir, outcome, _ = train(listed, {"validate_every": 1, "validate_batches": 1})
    assert "held_out_unet" in (run_dir / "metrics.jsonl").read_text(encoding="utf-8")
    last = checkpoint.load_newest(run_dir)
    assert all(torch.equal(w, last["ema"][n]) for n, w in published(outcome).weights.items())


def test_other_presets_hold_out_and_keep_the_best_in_half_precision(train, videos):
    loop = {"validate_every": 1, "validate_batches": 1, "precision": "float32"}
    run_dir, outcome, _ = train(videos, loop, preset="default")
    assert "valid" in read_catalogue(read_run_config(run_dir).catalogue).splits
    best, kept = checkpoint.load_best(run_dir), published(outcome)
    assert kept.header.meta["best"]["step"] == best["step"]
    assert all(torch.equal(w, best["weights"][n].half()) for n, w in kept.weights.items())


def test_the_start_is_forgotten_in_the_papers_time():
    paper = TrainConfig(**paper_settings("unet", 1000))
    assert share_of_start(paper) == pytest.approx(0.9999**200_000)
    assert share_of_start(dataclasses.replace(paper, steps=1000)) == pytest.approx(0.905, abs=1e-3)
    assert share_of_start(TrainConfig(steps=1000)) == 0.0
    assert share_of_start(TrainConfig(**paper_settings("vocoder", 1000))) == 0.0


@pytest.mark.parametrize("attention", ["cosine", "softmax_bias128"])
def test_the_priors_dropout_acts_in_training_alone(attention):
    config = PriorConfig(
        dim=16, text_dim=8, depth=1, dim_head=32, heads=2, max_text_len=4, attention=attention
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior, x = Prior(config, dropout=0.5), torch.randn(2, 16)
        inputs = (x, torch.tensor([3, 500]), x, torch.randn(2, 4, 8))
        assert not torch.equal(prior(*inputs), prior(*inputs))
        prior.eval()
        assert torch.equal(prior(*inputs), prior(*inputs))


def test_the_papers_prior_is_laions_network():
    assert paper_network("prior") == PriorConfig(attention="softmax_bias128")
    train = TrainConfig(**paper_settings("prior", 1000))
    assert (train.prior_dropout, train.clip_norm) == (0.05, 0.5)
    assert STAGES["prior"].sizes["large"] == PriorConfig()


def test_the_loops_dropout_reaches_the_prior(train, videos, micro, tmp_path, monkeypatch):
    built = []
    original = Prior.__init__

    def watched(self, config, *, dropout=0.0):
        built.append(dropout)
        original(self, config, dropout=dropout)

    monkeypatch.setattr(Prior, "__init__", watched)
    (tmp_path / "prior-sd.safetensors").write_bytes((micro / "prior.safetensors").read_bytes())
    train(videos, {"steps": 1}, stage="prior", warm_start=str(tmp_path))
    assert built[0] == 0.05


def test_every_parameter_of_the_papers_vocoder_decays():
    network = torch.nn.Sequential(torch.nn.Conv1d(2, 2, 3), torch.nn.BatchNorm1d(2))
    config = TrainConfig(**paper_settings("vocoder", 1000))
    groups = adamw(network, config).param_groups
    decayed = {p for group in groups if group["weight_decay"] == 0.01 for p in group["params"]}
    assert decayed == set(network.parameters())
    config = TrainConfig(**paper_settings("prior", 1000))
    groups = adamw(network, config).param_groups
    assert [len(group["params"]) for group in groups] == [1, 3]
    assert [group["weight_decay"] for group in groups] == [0.06, 0.0]


@shows("the vocoder's rate decays by steps")
@pytest.mark.parametrize("clips", [40, 1000, 20_000, 171_899, 5_000_000])
def test_the_vocoders_rate_stays_useful_whatever_the_number_of_clips(clips):
    config = TrainConfig(**paper_settings("vocoder", clips))
    last = learning_rate(config, config.steps - 1)
    assert last == pytest.approx(1e-4 * 0.999 ** (500_000 / EPOCH), rel=1e-3)
    assert 0.9e-4 < last < 0.92e-4
    assert f"{EPOCH:,}" in row("the vocoder's rate decays by steps").ours
    epochs = config.steps // (171_899 // 32)  # by the epoch, as BigVGAN's scheduler does
    assert last == pytest.approx(1e-4 * 0.999**epochs, rel=2e-3)


def row(name):
    (found,) = (each for each in DEPARTURES if each.name == name)
    return found


@pytest.fixture(scope="module")
def clips(run):
    catalogue = read_catalogue(read_run_config(run[0]).catalogue)
    return Prepared(catalogue, catalogue.numbers("train"))


@shows("clips are drawn with replacement")
def test_a_batch_may_hold_a_clip_twice_before_all_were_seen(clips):
    batch = FramesAndSounds(clips).sample(len(clips), torch.Generator().manual_seed(0))
    assert len(set(batch["clip"].tolist())) < len(clips)


@shows("unusable clips are left out")
def test_unusable_clips_are_the_flaws_that_drop(train, videos, tmp_path):
    assert (DROP, Rules().silence_db) == ({"silent", "short", "duplicate"}, -60)
    write_media(tmp_path / "silent.mp4", seconds=2.2, fps=4, samples=0 * tone(2.2, 16_000))
    write_videos(tmp_path, 12)
    run_dir, _, _ = train(tmp_path, {"steps": 1})
    assert "silent.mp4,silent" in (run_dir / "data.csv").read_text(encoding="utf-8")
    assert "silent.mp4" not in read_catalogue(read_run_config(run_dir).catalogue).ids


@shows("one frame a second")
def test_a_clip_has_a_frame_for_every_second(clips):
    place = clips.place(clips.clips[0])
    assert (place.frames, place.frame_rate) == (2, 1.0)  # of 2.2 s


@shows("features are kept in float16")
def test_features_are_kept_in_half_precision_which_moves_a_mel_by_little(clips):
    index = read_index(clips.catalogue.shard(0))
    kept = {str(extent.dtype) for name, extent in index.extents.items() if name != "wave"}
    assert kept == {"float16"}
    mel = torch.linspace(MelSpec().log_min, MelSpec().log_max, 100_001)
    assert 0.0035 < (mel - mel.half().float()).abs().max() < 0.004


@shows("convolutions may use TF32")
def test_torchs_default_for_convolutions_is_left_as_it_is():
    assert torch.backends.cudnn.allow_tf32


@pytest.fixture(scope="module")
def segments(train, tmp_path_factory):
    """One quiet sound in a catalogue that keeps sounds, and its vocoder's run."""
    folder = tmp_path_factory.mktemp("quiet")
    write_media(folder / "a.mp4", seconds=3.0, fps=4, samples=0.05 * tone(3.0, 16_000, hz=440))
    run_dir, outcome, _ = train(folder, {"steps": 1}, stage="vocoder")
    catalogue = read_catalogue(read_run_config(run_dir).catalogue)
    return Segments(Prepared(catalogue, catalogue.numbers("train")), segment=8192), outcome


@shows("the vocoder is trained on recorded levels")
def test_a_quiet_sound_stays_quiet(segments):
    drawn = segments[0].draw(0, torch.Generator().manual_seed(1))
    assert drawn["wave"].abs().max() < 0.1


@shows("mels of the vocoder are cut from whole clips")
def test_a_segments_mel_has_no_reflected_ends(segments):
    data, _ = segments
    drawn = data.draw(0, torch.Generator().manual_seed(1))
    of_itself = LogMel(data.clips.spec)(drawn["wave"][None])[0]
    inner = slice(2, -2)
    torch.testing.assert_close(drawn["mel"][..., inner], of_itself[..., inner], atol=1e-3, rtol=0)
    assert (drawn["mel"] - of_itself).abs().max() > 0.01


@shows("the vocoder is trained on the data given")
@shows("gradients of all critics are clipped together")
def test_one_network_holds_all_critics_of_a_vocoder_of_this_data(segments, monkeypatch):
    _, outcome = segments
    last = checkpoint.load_newest(outcome.run_dir)
    assert list(last["networks"]) == list(last["optimizers"]) == ["vocoder", "critics"]
    header = bundle.read_header(outcome.path / "vocoder.safetensors")
    assert header.meta["data"]["kept"] == 1


def test_every_departure_is_shown_by_a_test():
    assert {each.name for each in DEPARTURES} == SHOWN


def test_every_row_says_what_and_why_and_of_which_parts():
    names = [each.name for each in (*DEPARTURES, *OPEN)]
    parts = {part.name for row in STAGES.values() for part in row.parts.values()}
    assert len(set(names)) == len(names)
    for each in (*DEPARTURES, *OPEN):
        assert set(each.parts) <= set(ALL) == parts - {"bridge", "student"}  # not the paper's
        assert all(text and "|" not in text for text in (each.theirs, each.ours, each.why))


def test_the_card_lists_what_concerns_the_part_and_nothing_else(run, segments):
    for outcome, others in ((run[1], "vocoder"), (segments[1], "unet")):
        card = Path(outcome.path / "MODEL_CARD.md").read_text(encoding="utf-8")
        for each in (*of_part(DEPARTURES, outcome.part), *of_part(OPEN, outcome.part)):
            assert f"| {each.name} | {each.theirs} | {each.ours} | {each.why} |" in card
        foreign = [each for each in (*DEPARTURES, *OPEN) if each.parts == (others,)]
        assert foreign
        assert not any(f"| {each.name} |" in card for each in foreign)


def test_the_card_lists_what_was_changed_by_hand(run):
    card = Path(run[1].path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Changed by whoever trained it:" in card
    for line in (
        "| steps | 200,000 | 3 |",
        "| batch | 32 | 1 |",
        "| size | large | its own |",
        "| initial weights | random | micro |",
        "| CLIP | ViT-L/14 of OpenAI | micro-clip |",
    ):
        assert line in card


def test_nothing_is_changed_where_nothing_was_requested(run):
    settings = read_run_config(run[0])
    plain = {}
    for stage in ("unet", "prior", "vocoder"):
        train = TrainConfig(**paper_settings(stage, 1000))
        plain[stage] = dataclasses.replace(
            settings, stage=stage, network=paper_network(stage), train=train, warm_start=None
        )
        assert changed_from_paper(plain[stage], 1000, train.steps, None) == []
    other = dataclasses.replace(plain["unet"], extensions=Extensions(window=128))
    assert changed_from_paper(other, 1000, 200_000, None) == [["window", "64", "128"]]
    assert changed_from_paper(plain["unet"], 1000, 1000, None) == [["steps", "200,000", "1,000"]]
    cosine = dataclasses.replace(plain["prior"], network=PriorConfig())
    assert changed_from_paper(cosine, 1000, 200_000, None)[0][0] == "attention"
    default = dataclasses.replace(plain["unet"], preset="default")
    assert changed_from_paper(default, 1000, 7, None) == []
    assert math.isclose(plain["vocoder"].train.lr_decay, 0.999 ** (1 / EPOCH))
    assert plain["vocoder"].network == VocoderConfig()
