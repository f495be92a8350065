"""Whole trainings of tiny networks on tiny videos."""

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import re
import shlex
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from make_media import put
from published_clap import SMALL, random_clap
from published_clap import tokenizer as clap_tokenizer
from small_videos import write_videos

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import DiffusionConfig, UNetConfig
from clipsonic_cli.encoders.tokenizers import TOKENIZER
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.preparation.catalogue import read_catalogue
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.training.request import SILENT, Source, TrainCallbacks, TrainRequest, resolve
from clipsonic_cli.training.run import begin, resume
from clipsonic_cli.training.run_config import Extensions, read_run_config, write_run_config

CPU = torch.device("cpu")
LOOP = {
    "steps": 3,
    "batch_size": 1,
    "save_every": 3,
    "log_every": 1,
    "validate_every": 3,
    "validate_batches": 1,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("data") / "music", 12)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Share one home, so that videos are prepared once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPSONIC_HOME", str(tmp_path_factory.mktemp("home")))
        yield Path(os.environ["CLIPSONIC_HOME"])
        shutil.rmtree(os.environ["CLIPSONIC_HOME"])  # its models are hundreds of megabytes


@pytest.fixture(scope="module")
def make_request(home, micro, videos, tmp_path_factory):
    """Return a function that builds requests: micro's networks, three steps, a new model each."""
    runs, numbers = tmp_path_factory.mktemp("runs"), itertools.count()
    starts = {"prior": prior_as_sd(micro, tmp_path_factory.mktemp("start"))}
    starts |= {"bridge": None, "student": None}

    def make_request(loop=None, **wanted):
        name = f"it-{next(numbers)}"
        usual = {
            "name": name,
            "source": Source(data=str(videos), workers=0, seed=3),
            "out": runs / name,
            "base": str(micro),
            "warm_start": starts.get(wanted.get("stage"), str(micro)),
            "sample_every": 0,
        }
        return TrainRequest(train=LOOP | (loop or {}), **(usual | wanted))

    yield make_request
    shutil.rmtree(runs)


@pytest.fixture(scope="module")
def unbroken(make_request):
    """Return a function that trains a stage once, uninterrupted: the request and the outcome."""

    @functools.cache
    def unbroken(stage="unet"):
        done = make_request(stage=stage)
        return done, begin(done, device=CPU)

    return unbroken


def prior_as_sd(micro, folder):
    """Build a model whose prior-sd is micro's prior, for a warm start."""
    shutil.copy(micro / "prior.safetensors", folder / "prior-sd.safetensors")
    return str(folder)


def published(request, stem="unet"):
    path = model_folders.find(request.name).path / f"{stem}.safetensors"
    return bundle.load(path, kind=bundle.read_header(path).kind)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stopping(at):
    """Return callbacks that send SIGTERM when as many steps are done."""

    def on_step(status):
        if status.step == at:
            signal.raise_signal(signal.SIGTERM)

    return TrainCallbacks(on_step=on_step)


def test_a_folder_of_videos_becomes_a_model(unbroken, home):
    done, outcome = unbroken()
    assert (outcome.step, outcome.part) == (3, "unet")
    assert outcome.path == home / "models" / done.name
    assert outcome.command == f"clipsonic generate --model {done.name} 'a photo of dog barking'"
    header = published(done).header
    assert (header.encoder, header.space, header.meta["steps"]) == ("micro-clip", "clip-image", 3)
    assert header.diffusion == DiffusionConfig()  # that of the warm start
    files = {path.name for path in outcome.path.iterdir()}
    stems = ("clip", "prior", "statistics", "unet", "vocoder")
    assert files == {*(f"{stem}.safetensors" for stem in stems), "MODEL_CARD.md"}
    modes = ["iq", "zs", "ms", "ra", "rt", "pd"]
    assert model_folders.find(done.name).modes() == modes


def test_the_statistics_are_of_the_frames_that_are_trained_on(unbroken):
    done, _ = unbroken()
    catalogue = read_catalogue(read_run_config(done.run_dir).catalogue)
    clips = catalogue.numbers("train", mel_frames=64)
    header = published(done, "statistics").header
    assert header.config.count == sum(catalogue.place(clip).frames for clip in clips)
    assert (header.encoder, header.meta["run"]) == (
        "micro-clip",
        published(done).header.meta["run"],
    )
    assert header.meta["known_by"] == "labels"
    assert len(published(done, "statistics").weights["known"]) == len(header.meta["known"])
    sonic = ClipSonic.load(done.name)
    assert set(header.meta["fits"]) == {"zs", "ms", "ra", "rt", "pd"}
    assert sonic.default_mode("text")[0] == header.meta["default_mode"] in header.meta["fits"]
    for mode in ("ms", "ra", "rt"):
        assert sonic("a dog", mode=mode, steps=1, seconds=0.3).samples.isfinite().all()


def test_an_older_run_gets_its_statistics_when_it_is_resumed(make_request):
    old = make_request({"steps": 1})
    outcome = begin(old, device=CPU)
    for folder in (old.run_dir / "model", outcome.path):
        (folder / "statistics.safetensors").unlink()
    with pytest.raises(MissingWeights, match=f"--stage statistics --name {old.name}"):
        ClipSonic.load(old.name)("a dog", mode="ms")
    with pytest.raises(MissingWeights, match=f"train --resume {re.escape(str(old.run_dir))}"):
        ClipSonic.load(old.run_dir / "model")("a dog", mode="ms")
    resume(old.run_dir, device=CPU)
    assert "ms" in model_folders.find(old.name).modes()


def test_statistics_alone_join_a_model_in_no_training(make_request, unbroken):
    done, _ = unbroken()
    old = make_request({"steps": 1})
    path = begin(old, device=CPU).path / "statistics.safetensors"
    path.unlink()
    adding = dataclasses.replace(
        make_request(base=None, warm_start=None, only_statistics=True, out=None), name=old.name
    )
    assert str(adding.run_dir) == f"runs/{old.name}-statistics"
    adding = dataclasses.replace(adding, out=make_request().out)
    added = begin(adding, device=CPU)
    assert (added.part, added.step) == ("statistics", 0)
    assert added.command == f"clipsonic generate --model {old.name} 'a photo of dog barking'"
    theirs = published(done, "statistics").weights
    assert torch.equal(published(old, "statistics").weights["frame_mean"], theirs["frame_mean"])
    with pytest.raises(UsageError, match="another run trained"):
        begin(dataclasses.replace(adding, out=make_request().out), device=CPU)


def test_a_bridge_of_the_frames_adds_its_mode_to_a_model(unbroken):
    done, _ = unbroken()
    with pytest.raises(MissingWeights, match=r"--stage bridge --name it-"):
        ClipSonic.load(done.name)("a dog", mode="db")
    request, outcome = unbroken("bridge")
    command = f"clipsonic generate --model {request.name} 'a photo of dog barking' --mode db"
    assert (outcome.step, outcome.part, outcome.command) == (3, "bridge", command)
    assert "db" in model_folders.find(request.name).modes()
    sonic = ClipSonic.load(request.name)
    assert sonic("a dog", mode="db", steps=1, seconds=0.3).samples.isfinite().all()
    ours, frames = published(request, "bridge"), published(done, "statistics")
    for name in ("frame_mean", "text_mean"):
        torch.testing.assert_close(
            ours.weights[name].float(), frames.weights[name], atol=1e-3, rtol=0
        )
    assert ours.header.encoder == "micro-clip"
    meta = ours.header.meta
    assert meta["cosines"][str(meta["entry"])] == max(meta["cosines"].values())


@pytest.mark.parametrize(
    ("stage", "stem"),
    [
        ("unet", "unet"),
        ("prior", "prior-sd"),
        ("bridge", "bridge"),
        ("student", "student"),
        pytest.param("vocoder", "vocoder", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_equals_an_unbroken_one(unbroken, make_request, stage, stem):
    whole, _ = unbroken(stage)
    broken = make_request(stage=stage)
    with pytest.raises(KeyboardInterrupt):
        begin(broken, device=CPU, callbacks=stopping(2))
    assert broken.name not in model_folders.names()
    assert resume(broken.run_dir, device=CPU).step == 3
    ours, theirs = published(broken, stem), published(whole, stem)
    assert same(ours.weights, theirs.weights)
    assert ours.header.meta["losses"] == theirs.header.meta["losses"]
    assert losses(broken, stage) == losses(whole, stage)


def losses(request, name):
    lines = (request.run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line).get(name) for line in lines]


def messages_of(run, argument, callbacks=SILENT, **options):
    """Return the messages of a run, which may be interrupted."""
    said = []
    callbacks = dataclasses.replace(callbacks, on_message=said.append)
    with contextlib.suppress(KeyboardInterrupt):
        run(argument, device=CPU, callbacks=callbacks, **options)
    return said


def test_a_run_says_how_long_where_and_how_it_goes_on(make_request):
    request = make_request({"save_every": 2})
    folder = request.run_dir
    said = messages_of(begin, request, minutes=35, callbacks=stopping(1))
    start = said.index(f"3 steps or 35 minutes, whichever is first, in {folder}")
    assert said[start + 1 : start + 3] == [
        f"Ctrl-C saves; to go on: clipsonic train --resume {folder}",
        f"to hear it from step 2 on (or from the end, if that is sooner): clipsonic generate "
        f"--model {folder / 'model'} 'a photo of dog barking'",
    ]
    assert any("licence is not stated" in line and "`licence`" in line for line in said)
    said = messages_of(resume, folder, callbacks=stopping(2))
    assert f"going on in {folder} from step 1: 2 steps, with no limit of `minutes`" in said
    said = messages_of(resume, folder, minutes=5)
    assert f"going on in {folder} from step 2: 1 step or 5 minutes, whichever is first" in said
    assert f"{folder} is done (3 steps); for more give `steps`" in messages_of(resume, folder)


def test_prepared_clips_are_said_to_be(unbroken, make_request):
    unbroken()
    assert "the clips are already prepared" in messages_of(begin, make_request({"steps": 1}))


def test_the_time_left_is_said_once_where_it_is_long(make_request, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.training.announce.MEASURED", 2)
    monkeypatch.setattr("clipsonic_cli.training.announce.NOTABLE_SECONDS", 0)
    said = messages_of(begin, make_request())
    assert len([line for line in said if re.fullmatch("about .* to go, .* a step", line)]) == 1


def test_a_run_killed_before_its_first_checkpoint_has_still_its_warm_start(unbroken, make_request):
    killed = make_request()
    with pytest.raises(KeyboardInterrupt):
        begin(killed, device=CPU, callbacks=stopping(1))
    for path in killed.run_dir.glob("*.pt"):
        path.unlink()
    resume(killed.run_dir, device=CPU)
    assert same(published(killed).weights, published(unbroken()[0]).weights)


def test_a_run_goes_on_for_more_steps_than_it_was_begun_for(unbroken, make_request):
    short = make_request({"steps": 2})
    begin(short, device=CPU)
    outcome = resume(short.run_dir, device=CPU, train_changes={"steps": 3})
    assert (outcome.step, read_run_config(short.run_dir).train.steps) == (3, 3)
    assert same(published(short).weights, published(unbroken()[0]).weights)


def test_the_model_of_a_run_can_be_heard_while_it_is_trained(make_request):
    begun = make_request()
    with pytest.raises(KeyboardInterrupt):
        begin(begun, device=CPU, callbacks=stopping(2))
    sonic = ClipSonic.load(str(begun.run_dir / "model"))
    sound = sonic("a photo of violin", mode="zs", steps=1, seconds=0.3)
    assert sound.samples.shape[-1] == 4800
    with pytest.raises(UsageError, match=f"holds a run already.*--resume {begun.run_dir}; or"):
        begin(begun, device=CPU)


def test_a_part_of_another_run_is_replaced_only_when_asked(make_request, tmp_path):
    first = make_request()
    with pytest.raises(KeyboardInterrupt):
        begin(first, device=CPU, callbacks=stopping(1))
    begin(dataclasses.replace(make_request({"seed": 1}), name=first.name), device=CPU)
    theirs = published(first).header.meta["run"]
    for refused in (
        lambda: begin(dataclasses.replace(make_request({"seed": 2}), name=first.name), device=CPU),
        lambda: resume(first.run_dir, device=CPU),
    ):
        with pytest.raises(UsageError, match="another run trained"):
            refused()
    assert published(first).header.meta["run"] == theirs
    resume(first.run_dir, device=CPU, overwrite=True)
    assert published(first).header.meta["run"] != theirs


def test_a_prior_joins_the_model_of_the_unet(make_request):
    first = make_request({"steps": 1})
    begin(first, device=CPU)
    joining = dataclasses.replace(
        make_request({"steps": 1}, stage="prior", base=None), name=first.name
    )
    outcome = begin(joining, device=CPU)
    assert outcome.command.endswith("'a photo of dog barking' --mode sd")
    assert "run" in published(first).header.meta
    card = (outcome.path / "MODEL_CARD.md").read_text()
    assert card.index("## prior-sd") < card.index("## unet")
    sonic = ClipSonic.load(first.name)
    assert sonic("a photo of violin", mode="sd", steps=1, seconds=0.3).samples.isfinite().all()


def test_a_student_of_the_unet_joins_its_model(unbroken):
    request, outcome = unbroken("student")
    command = f"clipsonic generate --preset instant --model {request.name} 'a photo of dog barking'"
    assert (outcome.step, outcome.part, outcome.command) == (3, "student", command)
    header = published(request, "student").header
    assert (header.kind, header.config.calls, header.config.max_guidance) == ("student", 4, 4.0)
    assert header.diffusion == DiffusionConfig(prediction="v", variance="fixed")
    assert header.meta["labels"] == ["dog barking", "violin"]
    sound = ClipSonic.load(request.name)("a dog", mode="zs", student=True, seconds=0.3)
    assert (sound.recipe.steps, sound.recipe.student) == (4, True)
    assert sound.samples.isfinite().all()


def test_a_student_begins_as_the_unet_and_is_taught_by_it(unbroken, micro):
    """Three steps at a small rate leave it near; what predicted a variance is gone."""
    request, _ = unbroken("student")
    ours, theirs = (
        published(request, "student").weights,
        bundle.load(micro / "unet.safetensors", kind="unet").weights,
    )
    assert {name for name in ours if name not in theirs} == {
        f"guidance_embed.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    for name, weight in theirs.items():
        start = weight[:1] if name.startswith("out.2.") else weight
        torch.testing.assert_close(ours[name].float(), start, atol=5e-3, rtol=0)
    assert torch.equal(ours["null_cond"].float(), theirs["null_cond"].half().float())


def test_a_student_that_stops_early_takes_the_calls_it_has_learned(make_request):
    few = make_request({"steps": 600, "save_every": 1}, **STUDENT, calls=1)
    said = messages_of(begin, few, stopping(1))
    assert (
        "the student learns guidance in 32 calls, then fewer: 16 from step 150, 8 from step 225, "
        "4 from step 300, 2 from step 375, 1 from step 450"
    ) in said
    sonic = ClipSonic.load(few.run_dir / "model")
    assert sonic("a dog", mode="zs", student=True, seconds=0.3).recipe.steps == 32
    with pytest.raises(UsageError, match="phases of a student were planned for 600"):
        resume(few.run_dir, device=CPU, train_changes={"steps": 700})
    said = messages_of(resume, few.run_dir, minutes=1e-3)
    assert (
        "note: the student takes 32 calls so far, not 1; let the run go on to its last step" in said
    )


def test_a_student_without_a_teacher_is_said_to_need_one(make_request, micro, tmp_path):
    bare = shutil.copytree(micro, tmp_path / "bare", ignore=shutil.ignore_patterns("unet.*"))
    with pytest.raises(UsageError, match=r"has no unet to begin with\. Train it first"):
        resolve(make_request(**STUDENT, base=str(bare)), gpu=False, processes=1)


def test_a_text_condition_makes_a_unet_of_its_own(make_request):
    requested = make_request({"steps": 1}, space="clip-text")
    assert begin(requested, device=CPU).command.endswith("--mode clip-tta")
    assert published(requested, "unet-clip-text").header.space == "clip-text"
    sonic = ClipSonic.load(requested.name)
    assert sonic("a violin", mode="clip-tta", steps=1, seconds=0.3).samples.isfinite().all()


def test_clap_conditions_a_unet_where_transformers_is_there(make_request, micro, tmp_path):
    pytest.importorskip("transformers")
    base = tmp_path / "base"
    write_clap_model(base, micro)
    requested = make_request({"steps": 1}, space="clap-text", base=str(base), warm_start=str(base))
    line = "'the sound of dog barking' --mode clap-tta"
    command = f"clipsonic generate --model {requested.name} {line}"
    assert begin(requested, device=CPU).command == command
    header = published(requested, "unet-clap-text").header
    assert (header.space, header.config.cond_dim) == ("clap-text", SMALL.dim)
    sonic = ClipSonic.load(requested.name)
    assert sonic("a violin", mode="clap-tta", steps=1, seconds=0.3).samples.isfinite().all()


def write_clap_model(folder, micro):
    """Write a tiny CLAP of random weights, a U-Net that reads it, and micro's vocoder."""
    from clipsonic_cli.models.clap import CONSTANTS, clap_identity, leaf_of
    from clipsonic_cli.models.unet import UNet

    folder.mkdir()
    config = dataclasses.replace(SMALL, vocab_size=300)
    state = random_clap(config).state_dict().items()
    weights = {name: w.clone() for name, w in state if leaf_of(name) not in CONSTANTS}
    described = bytearray(clap_tokenizer().to_str().encode())
    weights[TOKENIZER] = torch.frombuffer(described, dtype=torch.uint8)
    identity = clap_identity(weights)
    header = bundle.Header(kind="clap", config=dataclasses.asdict(config), encoder=identity)
    bundle.write(folder / "clap.safetensors", Bundle(header=header, weights=weights))
    theirs = bundle.read_header(micro / "unet.safetensors")
    network = dataclasses.replace(theirs.config, cond_dim=config.dim)
    header = dataclasses.replace(theirs, config=network, space="clap-text", encoder=identity)
    made = Bundle(header=header, weights=dict(UNet(network).state_dict()))
    bundle.write(folder / "unet-clap-text.safetensors", made)
    shutil.copy(micro / "vocoder.safetensors", folder)


def test_a_vocoder_is_judged_against_griffin_lim_by_held_out_clips(unbroken):
    done, outcome = unbroken("vocoder")
    meta = published(done, "vocoder").header.meta
    scores = {name: each["spectral_distance"] for name, each in meta["scores"].items()}
    assert scores.keys() == {"bigvgan", "griffin-lim"}
    assert meta["default_vocoder"] == min(scores, key=scores.get)
    assert meta["best"]["held_out_loss"] == pytest.approx(outcome.best, abs=1e-5)
    assert ClipSonic.load(done.name).vocoder == meta["default_vocoder"]


def test_videos_without_labels_train_a_unet_but_no_prior(make_request, tmp_path):
    unlabelled = write_videos(tmp_path / "videos", 6, labelled=False)
    source = Source(data=str(unlabelled), workers=0)
    surveys = []
    with pytest.raises(UsageError, match=r"no labels.*violin/"):
        begin(
            make_request(stage="prior", source=source),
            device=CPU,
            callbacks=TrainCallbacks(on_survey=surveys.append),
        )
    assert not surveys  # nothing was prepared
    outcome = begin(make_request({"steps": 1}, source=source), device=CPU)
    _, *words = shlex.split(outcome.command)
    assert words[:-1] == ["generate", "--model", outcome.name, "--image"]
    assert Path(words[-1]).is_file()
    card = (outcome.path / "MODEL_CARD.md").read_text()
    assert f"generate --model {outcome.name} --image picture.jpg" in card


def test_what_cannot_be_trained_on_leaves_a_list_but_no_run(make_request, tmp_path):
    put(tmp_path / "bad" / "bad.mp4", b"nonsense")
    bad = make_request(source=Source(data=str(tmp_path / "bad"), workers=0))
    with pytest.raises(UsageError, match="None of the 1 clips"):
        begin(bad, device=CPU)
    assert "bad.mp4,unreadable" in (bad.run_dir / "data.csv").read_text()
    assert not (bad.run_dir / "run.json").exists()


def test_a_catalogue_is_trained_on_from_anywhere(unbroken, make_request, home, monkeypatch):
    catalogue = Path(read_run_config(unbroken()[0].run_dir).catalogue)
    monkeypatch.chdir(home)
    second = make_request({"steps": 1}, source=Source(data=str(catalogue.relative_to(home))))
    begin(second, device=CPU)
    assert read_run_config(second.run_dir).catalogue == str(catalogue)


def test_without_its_prepared_clips_a_run_cannot_go_on(unbroken, tmp_path):
    settings = read_run_config(unbroken()[0].run_dir)
    write_run_config(tmp_path, dataclasses.replace(settings, catalogue=f"{tmp_path}/gone.jsonl"))
    with pytest.raises(UsageError, match=r"cannot be read.*begin another"):
        resume(tmp_path, device=CPU, overwrite=True)


def test_what_is_beyond_the_paper_reaches_the_loop(make_request):
    extensions = Extensions(window=32, mean_of=2, crops=1, cond_cosine=0.6, zero_snr=True)
    begun = make_request(
        {"steps": 1, "batch_size": 1}, extensions=extensions, warm_start=None, size="mini"
    )
    begin(begun, device=CPU)
    assert read_run_config(begun.run_dir).extensions == extensions
    header = published(begun).header
    assert (header.diffusion.schedule, header.diffusion.prediction) == ("cosine-zero-snr", "v")
    assert header.config == UNetConfig(channels=32, num_res_blocks=2, cond_dim=32)
    assert header.meta["settings"]["cond_cosine"] == 0.6


STUDENT = {"stage": "student", "warm_start": None}
REFUSED = [
    ({"preset": "papr"}, UsageError, "Did you mean 'paper'"),
    ({"size": "huge"}, UsageError, "Unknown size 'huge'"),
    ({"size": "base"}, UsageError, "of a size of its own, not 'base'"),
    ({"name": "mini"}, UsageError, "built in"),
    ({"base": "nowhere"}, UsageError, "no model 'nowhere'"),
    ({"base": "published"}, MissingWeights, "clipsonic download --for train"),
    ({"space": "clap-text"}, MissingWeights, "clipsonic download clap"),
    ({"base": "mini"}, UsageError, "reads vectors of 32 numbers, those of 'mini' have 256"),
    ({"warm_start": "improved-diffusion"}, MissingWeights, "clipsonic download improved"),
    ({"warm_start": "mini", "space": "clip-text"}, UsageError, "reads vectors of 256 numbers"),
    ({"trackers": ("wand",)}, UsageError, "Did you mean 'wandb'"),
    ({"images": ("no.png",)}, UsageError, "no image no.png"),
    ({"source": Source(data="nowhere")}, UsageError, "There is no data"),
    ({"calls": 4}, UsageError, "`calls` has no meaning for the stage 'unet'"),
    ({**STUDENT, "calls": 3}, UsageError, "`calls` is 3; it must be one of 16, 8, 4, 2, 1"),
    ({**STUDENT, "warm_start": "mini"}, UsageError, "`warm_start` has no meaning for the stage"),
    ({**STUDENT, "size": "base"}, UsageError, "of a size of its own, not 'base'"),
    ({**STUDENT, "extensions": Extensions(window=128)}, UsageError, "Give `window` 64"),
    ({**STUDENT, "extensions": Extensions(min_snr=5.0)}, UsageError, "`min_snr` has no meaning"),
    ({"extensions": Extensions(multi_scale=True)}, UsageError, "`multi_scale` has no meaning"),
]


@pytest.mark.parametrize(("wanted", "error", "reason"), REFUSED)
def test_what_cannot_be_is_said_before_anything_is_prepared(make_request, wanted, error, reason):
    refused = make_request(**wanted)
    with pytest.raises(error, match=reason):
        resolve(refused, gpu=False, processes=1)
    assert not refused.run_dir.exists()


def test_a_stage_that_is_not_conditioned_so_is_rejected(make_request):
    with pytest.raises(UsageError, match="'prior' is conditioned on clip-image, not on clap-text"):
        make_request(stage="prior", space="clap-text")


@pytest.mark.parametrize(
    ("wanted", "processes"), [({"preset": "paper"}, 3), ({"train": {"batch_size": 6}}, 4)]
)
def test_a_batch_that_cannot_be_shared_is_rejected(make_request, wanted, processes):
    requested = dataclasses.replace(make_request(), **({"train": {}} | wanted))
    with pytest.raises(UsageError, match=f"cannot be shared by {processes} processes"):
        resolve(requested, gpu=False, processes=processes)
    resolve(requested, gpu=False, processes=2)
    free = dataclasses.replace(requested, preset="default", train={})
    resolve(free, gpu=False, processes=processes)


def test_runs_of_different_parts_lie_apart(make_request):
    def where(**wanted):
        return str(make_request(name="music", out=None, **wanted).run_dir)

    assert where() == "runs/music"
    assert where(stage="prior") == "runs/music-prior-sd"
    assert where(stage="vocoder") == "runs/music-vocoder"
    assert where(stage="student") == "runs/music-student"
    assert where(space="clip-text") == "runs/music-clip-text"


@pytest.fixture
def held():
    """Hold folders as another process would, from another thread."""
    with ThreadPoolExecutor(1) as other, contextlib.ExitStack() as stack:

        def held(folder):
            holding = owned(folder, "clipsonic train")
            other.submit(holding.__enter__).result()
            stack.callback(lambda: other.submit(holding.__exit__, None, None, None).result())

        yield held


def test_a_run_that_is_running_is_neither_resumed_nor_begun_over(unbroken, make_request, held):
    done, _ = unbroken()
    (done.out / ".0123456789abcdef.part").touch()  # what the other process is writing
    held(done.out)
    with pytest.raises(UsageError, match=r"is being worked in: clipsonic train, process \d+ on"):
        resume(done.out, device=CPU, train_changes={"steps": 9})
    new = make_request()
    held(new.out)
    with pytest.raises(UsageError, match="is being worked in: clipsonic train"):
        begin(new, device=CPU)
    assert (done.out / ".0123456789abcdef.part").exists()
    assert read_run_config(done.out).train.steps == 3
