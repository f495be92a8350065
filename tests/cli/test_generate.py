"""The command as a person types it, on the micro model, in this process."""

import contextlib
import dataclasses
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
import soundfile
import torch
from PIL import Image

from clipsonic_cli.audio.tags import read_texts
from clipsonic_cli.cli import environment, main, run, signals
from clipsonic_cli.cli.generate import command, deliver, play
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle


@pytest.fixture
def call(micro, tmp_path, monkeypatch, capsys):
    """Run ``clipsonic generate`` in an empty folder; return exit code, stdout and stderr lines."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, stdin="", model=micro):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        where = [] if "--model" in arguments else ["--model", str(model)]
        code = run(["generate", *where, *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call


FAST = ("--steps", 2, "--seconds", 0.3, "--mode", "zs")
PICTURE = ("--steps", 2, "--seconds", 0.3)


def test_a_prompt_becomes_a_file_whose_path_is_all_that_stdout_says(call, micro):
    code, out, err = call("a photo of violin", "--steps", 2, "--seconds", 0.3, "--seed", 7)
    assert (code, out) == (0, ["a-photo-of-violin-7.wav"])
    info = soundfile.info(out[0])
    assert (info.samplerate, info.channels, info.frames) == (16_000, 1, 4800)
    assert err[0] == f"device cpu (float32), 16 kHz mono, model {micro}"
    assert err[1:4] == [
        "vocoder bigvgan (the model's default)",
        "mode pd, w 1.5, unipc in 2 steps, 0.3 s",
        "seed 7: 'a photo of violin'",
    ]
    assert re.fullmatch(r"0\.30 s of sound in [\d.]+ s: [\d.e-]+ s per second of sound", err[4])
    assert len(err) == 5


def test_a_query_far_from_all_that_the_model_knows_is_noted_once(call):
    arguments = ("quantum chromodynamics", "kitten", "two violins", "-n", 2, "--mode", "ms")
    fast = ("--steps", 1, "--seconds", 0.3, "--json")
    code, out, err = call(*arguments, *fast, model="mini")
    assert code == 0
    (warning,) = [line for line in err if "is far from every sound that the model knows" in line]
    assert "'quantum chromodynamics'" in warning
    assert (
        "; known ones have 0.38 or more; is it English?); clipsonic info mini lists them" in warning
    )
    made = [json.loads(line) for line in out]
    assert [each["far"] for each in made] == [True, True, False, False, False, False]
    assert len(made[0]["nearest"]) == 3
    assert max(made[0]["nearest"].values()) < 0.38 < made[2]["nearest"]["cat"]
    assert made[4]["nearest"] == {}
    _, again, err = call(
        arguments[0], "--mode", "ms", *fast, "--quiet", "-o", "x.wav", model="mini"
    )
    assert (json.loads(again[0])["far"], err) == (True, [])


def test_a_drawn_seed_is_shown_and_repeats_the_sound(call):
    _, (path,), err = call("rain", *FAST)
    seed = path.removesuffix(".wav").rpartition("-")[2]
    assert any(f"seed {seed}" in line for line in err)
    call("rain", *FAST, "--seed", seed, "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path(path).read_bytes()


def test_variations_are_the_sounds_of_their_seeds(call):
    _, together, _ = call("rain", *FAST, "--seed", 7, "-n", 3, "--exact")
    assert together == ["rain-7.wav", "rain-8.wav", "rain-9.wav"]
    for path in together:
        call("rain", *FAST, "--seed", path[5], "-o", f"alone-{path}")
        assert Path(f"alone-{path}").read_bytes() == Path(path).read_bytes()


def test_every_sound_has_its_own_drawn_seed(call):
    Path("x.csv").write_text("text,seed\nrain,\nrain,5\na dog,\n")
    _, lines, err = call("--file", "x.csv", *FAST, "-n", 2, "--json")
    seeds = [json.loads(line)["seed"] for line in lines]
    assert seeds == [seeds[0], seeds[0] + 1, 5, 6, seeds[0] + 4, seeds[0] + 5]
    sounds = {Path(json.loads(line)["path"]).read_bytes() for line in lines}
    assert len(sounds) == 6
    assert not any("same noise" in line for line in err)


def test_queries_with_one_seed_start_from_the_same_noise_and_that_is_said(call):
    Path("x.csv").write_text("text,seed\nrain,\nwind,5\na dog,\n")
    _, lines, err = call("--file", "x.csv", *FAST, "--seed", 7, "--json")
    assert [json.loads(line)["seed"] for line in lines] == [7, 5, 7]
    assert [line for line in err if "same noise" in line] == [
        "note: 2 queries start from the same noise, that of seed 7; without --seed each has its own"
    ]
    first = json.loads(lines[0])["path"]
    _, lines, _ = call("--like", first, "a cat", "a cow", "--json")
    assert [json.loads(line)["seed"] for line in lines] == [7, 7]


def test_every_recipe_is_checked_once(call, monkeypatch):
    checked, check = [], ClipSonic.check

    def counting(sonic, recipe):
        checked.append(recipe.seed)
        return check(sonic, recipe)

    monkeypatch.setattr(ClipSonic, "check", counting)
    assert call("rain", *FAST, "--seed", 7, "-n", 2)[0] == 0
    assert checked == [7, 8]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_like_makes_a_sound_again_bit_for_bit(call, suffix, violin_picture):
    more = ("--seconds", 0.3, "--negative", "voices", "-w", 2.5, "--sampler", "ddpm", "--steps", 3)
    _, (first,), _ = call("--image", violin_picture, *more, "--format", suffix)
    code, again, _ = call("--like", first, "-o", f"again.{suffix}")
    assert (code, again) == (0, [f"again.{suffix}"])
    assert soundfile.read(first)[0].tolist() == soundfile.read(again[0])[0].tolist()


@pytest.mark.parametrize(
    ("suffix", "bits"),
    [("wav", "16"), ("wav", "24"), ("wav", "float"), ("flac", "16"), ("flac", "24"), ("ogg", None)],
)
def test_like_alone_gives_the_same_samples_in_the_same_format(call, suffix, bits):
    depth = () if bits is None else ("--bits", bits)
    _, (first,), _ = call("rain", *FAST, "--seed", 7, "-o", f"{{prompt}}.{suffix}", *depth)
    code, again, _ = call("--like", first)
    assert (code, again) == (0, [f"rain-again.{suffix}"])
    assert soundfile.info(again[0]).subtype == soundfile.info(first).subtype
    assert soundfile.read(first)[0].tolist() == soundfile.read(again[0])[0].tolist()
    assert call("--like", again[0])[1] == [f"rain-again-again.{suffix}"]


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.opus", "a.mka"])
def test_a_sound_that_another_program_converted_is_made_again(call, name):
    assert call("dog", *FAST, "--seed", 5, "-o", "a.wav")[0] == 0
    (comment,) = [text for text in read_texts(Path("a.wav")) if text.startswith("{")]
    with av.open("a.wav") as wav, av.open(name, "w") as other:
        other.metadata["comment"] = comment
        stream = other.add_stream(
            {"a.mp3": "mp3", "a.m4a": "aac"}.get(name, "libopus"), rate=48_000
        )
        stream.metadata["comment"] = comment
        resampler = av.AudioResampler(stream.format.name, "mono", 48_000)
        for frame in wav.decode(audio=0):
            for part in resampler.resample(frame):
                other.mux(stream.encode(part))
        other.mux(stream.encode(None))
    code, out, err = call("--like", name, "-o", "again.wav")
    assert (code, out) == (0, ["again.wav"]), err
    assert Path("again.wav").read_bytes() == Path("a.wav").read_bytes()


def test_a_format_requested_next_to_like_has_its_own_bits(call):
    call("rain", *FAST, "--seed", 7, "--bits", "float", "-o", "{prompt}{seed}.wav")
    for arguments in (("--format", "flac"), ("-o", "x.flac"), ("--bits", "24", "-o", "x.wav")):
        code, (path,), _ = call("--like", "rain7.wav", *arguments)
        wanted = "PCM_24" if "--bits" in arguments else "PCM_16"
        assert (code, soundfile.info(path).subtype) == (0, wanted)
    _, (path,), _ = call("--like", "rain7.wav", "a dog")
    assert (path, soundfile.info(path).subtype) == ("a-dog-7.wav", "FLOAT")


def test_options_next_to_like_replace_its_choices(call):
    _, (first,), _ = call("rain", *FAST, "--seed", 7)
    _, lines, _ = call("--like", first, "--seconds", 0.2, "--json", "-o", "new.wav")
    recipe = json.loads(lines[0])["recipe"]
    assert (recipe["seconds"], recipe["seed"], recipe["mode"]) == (0.2, 7, "zs")
    _, lines, _ = call("--like", first, "a dog", "--sampler", "ddim", "--json", "-q")
    recipe = json.loads(lines[0])["recipe"]
    assert (recipe["text"], recipe["sampler"], recipe["steps"]) == ("a dog", "ddim", 50)


def test_like_rejects_other_weights_and_changed_images(call, micro, tmp_path, violin_picture):
    model = tmp_path / "model"
    shutil.copytree(micro, model)
    shutil.copy(violin_picture, "cat.jpg")
    call("--image", "cat.jpg", *PICTURE, "--model", model, "-o", "x.wav")
    Image.new("RGB", (9, 9)).save("cat.jpg")
    code, out, err = call("--like", "x.wav", "-o", "y.wav", "--model", model)
    assert (code, out, len(err)) == (2, [], 1)
    assert "has changed" in err[0]
    shutil.copy(violin_picture, "cat.jpg")
    shutil.copy(micro / "vocoder.safetensors", model / "prior.safetensors")  # not part of iq
    run(["generate", "--like", "x.wav", "-o", "y.wav"])
    assert Path("y.wav").read_bytes() == Path("x.wav").read_bytes()
    with (model / "vocoder.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    assert run(["generate", "--like", "x.wav", "-o", "z.wav"]) == 2
    assert run(["generate", "--like", "x.wav", "-o", "z.wav", "--model", str(model)]) == 0


def test_like_asks_for_images_that_were_moved(call, violin_picture):
    shutil.copy(violin_picture, "cat.jpg")
    assert call("--image", "cat.jpg", "--negative", "cat.jpg", *PICTURE, "-o", "x.wav")[0] == 0
    Path("cat.jpg").rename("dog.jpg")
    code, out, (line,) = call("--like", "x.wav")
    assert (code, out) == (2, [])
    assert "'x.wav' was made from the image 'cat.jpg', which is not there" in line
    assert line.endswith("if it was moved, give it with --image.")
    _, _, (line,) = call("--like", "x.wav", "--image", "dog.jpg")
    assert line.endswith("if it was moved, give it with --negative.")
    _, (again,), _ = call("--like", "x.wav", "--image", "dog.jpg", "--negative", "dog.jpg")
    assert soundfile.read(again)[0].tolist() == soundfile.read("x.wav")[0].tolist()


def test_images_are_queries_of_iq_however_they_are_given(call, violin_picture):
    shutil.copy(violin_picture, "a.jpg")
    shutil.copy(violin_picture, "b.jpg")
    _, out, err = call("--image", "a.jpg", "b.jpg", "--seed", 1, *PICTURE)
    assert out == ["a-1.wav", "b-1.wav"]
    assert err[3:7] == [
        "2 sounds to make",
        "mode iq, w 1.5, unipc in 2 steps, 0.3 s",
        "1/2 seed 1: 'a'",
        "2/2 seed 1: 'b'",
    ]
    assert err[7].startswith("2 sounds, 0.60 s of sound in all, in ")


def test_a_file_and_standard_input_give_many(call):
    Path("x.csv").write_text("text,seed,label,sedd\nrain,5,wet,1\na dog,6,loud,2\n")
    _, out, err = call("--file", "x.csv", "-o", "{label}_{index}.flac", *FAST)
    assert out == ["wet_1.flac", "loud_2.flac"]
    assert "columns not used: sedd (did you mean 'seed'?)" in err
    _, out, _ = call("-", *FAST, "--seed", 1, stdin="rain\n\nwind\n")
    assert out == ["rain-1.wav", "wind-1.wav"]


def test_json_tells_path_seed_recipe_and_time(call):
    code, lines, _ = call("rain", *FAST, "--json", "--seed", 3, "-n", 2)
    result = [json.loads(line) for line in lines]
    assert (code, [one["seed"] for one in result]) == (0, [3, 4])
    assert result[0]["path"] == "rain-3.wav"
    assert result[0]["seconds"] == 0.3
    assert result[0]["real_time_factor"] > 0
    assert result[0]["recipe"]["sampler"] == "unipc"


def test_quiet_leaves_nothing_but_the_path(call):
    assert call("rain", *FAST, "--seed", 3, "--quiet") == (0, ["rain-3.wav"], [])


@pytest.mark.parametrize(
    ("arguments", "sampler", "steps"),
    [
        ((), "unipc", 8),
        (("--sampler", "ddim"), "ddim", 50),
        (("--preset", "fast"), "unipc", 6),
        (("--preset", "fast", "--steps", 3), "unipc", 3),
        (("--preset", "paper", "--steps", 4), "ddpm", 4),
    ],
)
def test_steps_follow_sampler_and_preset(call, arguments, sampler, steps):
    _, (line,), _ = call("rain", "--mode", "zs", "--seconds", 0.1, "--json", *arguments)
    recipe = json.loads(line)["recipe"]
    assert (recipe["sampler"], recipe["steps"]) == (sampler, steps)


@pytest.mark.parametrize(
    ("arguments", "subtype"),
    [
        ((), "PCM_16"),
        (("--bits", "24"), "PCM_24"),
        (("--bits", "float"), "FLOAT"),
        (("--format", "flac", "--bits", "24"), "PCM_24"),
        (("--format", "ogg"), "VORBIS"),
    ],
)
def test_formats_and_bits(call, arguments, subtype):
    _, (path,), _ = call("rain", *FAST, *arguments)
    assert soundfile.info(path).subtype == subtype


def test_existing_files_are_kept_or_replaced(call):
    Path("rain-1.wav").write_text("mine")
    code, out, _ = call("rain", *FAST, "--seed", 1, "-n", 2, "--skip-existing")
    assert (code, out) == (0, ["rain-2.wav"])
    assert Path("rain-1.wav").read_text() == "mine"
    code, out, _ = call("rain", *FAST, "--seed", 1, "--overwrite")
    assert (code, out) == (0, ["rain-1.wav"])
    assert soundfile.info("rain-1.wav").frames == 4800


def test_existing_files_are_found_again_whatever_seed_is_drawn(call):
    arguments = ("rain", "a dog", *FAST, "--skip-existing")
    assert call(*arguments, "-o", "{prompt}.wav")[1] == ["rain.wav", "a-dog.wav"]
    Path("rain.wav").unlink()
    assert call(*arguments, "-o", "{prompt}.wav")[1] == ["rain.wav"]
    code, out, (line,) = call(*arguments)
    assert (code, out) == (2, [])
    assert "cannot find '{prompt}-{seed}.wav' again, as its seed is drawn; give --seed" in line


def test_griffin_lim_is_never_silent(call):
    _, _, err = call("rain", *FAST, "--vocoder", "griffin-lim")
    assert any(
        "vocoder griffin-lim (requested; bigvgan is the model's default)" in line for line in err
    )


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("quiet", [False, True])
def test_a_prompt_too_long_for_the_model_is_noted_unless_quiet(call, quiet):
    code, _, err = call("drip, drop, " * 8, *FAST, *["-q"] * quiet)
    noted = [line for line in err if line.startswith("note: CLIP reads 64 of the 95 tokens of")]
    assert (code, len(noted), len(err)) == ((0, 0, 0) if quiet else (0, 1, 6))


def test_a_hundred_megapixels_are_handled(call):
    Image.new("1", (10_000, 10_000)).save("large.png")
    assert call("--image", "large.png", *PICTURE)[0] == 0


BAD = [
    ([], 2, "Nothing to sound"),
    ([""], 2, "prompt is empty"),
    (["  "], 2, "prompt is empty"),
    (["rain", "--image", "cat.jpg"], 2, "Both a text ('rain') and an image ('cat.jpg')"),
    (["--image", "missing.jpg"], 2, "There is no image 'missing.jpg'"),
    (["--image", "empty.jpg"], 2, "is empty"),
    (["--image", "cut.jpg"], 2, "is damaged"),
    (["--image", "text.jpg"], 2, "is no image"),
    (["--image", "folder"], 2, "is not a file"),
    (
        ["a", "photo", "of", "dog"],
        2,
        "4 prompts of one word each: a, photo, of, dog. ",
    ),
    (["rain", "--file-format", "csv"], 2, "--file-format is the format of a list"),
    (["--file", "-", "--file-format", "cvs"], 2, "Did you mean 'csv'?"),
    (["rain", "-w", "much"], 2, "'much' is not a number"),
    (["rain", "-w", "nan"], 2, "--guidance is nan"),
    (["rain", "-w", "inf"], 2, "--guidance is inf"),
    (["rain", "-w", "-1"], 2, "from 0"),
    (["rain", "--seconds", "-1"], 2, "--seconds is -1"),
    (["rain", "--seconds", "0"], 2, "--seconds is 0"),
    (["rain", "--seconds", "1e9"], 2, "--seconds is 1e+09"),
    (["rain", "--steps", "0"], 2, "--steps is 0"),
    (["rain", "--steps", "4001"], 2, "from 1 to 4000"),
    (["rain", "--steps", "2.5"], 2, "not a whole number"),
    (["rain", "--seed", "-1"], 2, "--seed is -1"),
    (["rain", "--seed", "x"], 2, "not a whole number"),
    (["rain", "-n", "0"], 2, "--count is 0"),
    (
        ["rain", "--batch-size", "0"],
        2,
        "--batch-size is 0; it must be a whole number from 1 to 1024",
    ),
    (["rain", "--mode", "pdd"], 2, "Did you mean 'pd'?"),
    (["rain", "--mode", "iq"], 2, "takes an image query"),
    (["--image", "cat.jpg", "--mode", "pd"], 2, "takes a text query"),
    (["rain", "--sampler", "ddin"], 2, "Did you mean 'ddim'?"),
    (["rain", "--guidance-rule", "inter"], 2, "Did you mean 'interval'?"),
    (["rain", "--preset", "papper"], 2, "Did you mean 'paper'?"),
    (["rain", "--device", "cud"], 2, "Did you mean 'cuda'?"),
    (["rain", "--device", "cuda"], 2, "not available"),
    (["rain", "--dtype", "float23"], 2, "Did you mean 'float32'?"),
    (["rain", "--dtype", "float16", "--device", "cpu"], 2, "Use bfloat16"),
    (["rain", "--vocoder", "bigwgan"], 2, "Did you mean 'bigvgan'?"),
    (["rain", "--model", "minni"], 2, "There is no model 'minni'"),
    (["rain", "--mode", "sd"], 3, "lacks prior-sd.safetensors"),
    (["rain", "собака лает", "-o", "new/"], 2, "knows none of the words in 'собака лает'"),
    (["rain", "--negative", "собака"], 2, "knows none of the words in 'собака'"),
    (["rain", "--negative", " "], 2, "prompt is empty"),
    (["rain", "--negative", "missing.png"], 2, "There is no image 'missing.png'"),
    (["rain", "-o", "there.wav/x.wav"], 2, "Cannot create the folder 'there.wav': Not a directory"),
    (["rain", "-o", "new/{label}/x.wav"], 2, "Unknown output field 'label'"),
    (["rain", "-o", "new/x.wav", "--mode", "sd"], 3, "lacks prior-sd.safetensors"),
    (["rain", "-o", "-", "--json"], 2, "-o - writes the sound to standard output, and --json"),
    (["rain", "-o", "-", "-n", "2", "--keep", "2"], 2, "-o - is for one sound, and here are 2"),
    (["rain", "-o", "-", "--format", "ogg", "--bits", "16"], 2, "'.ogg' has no --bits"),
    (["rain", "--play"], 2, "--play finds none of no-player; install one of them"),
    (["rain", "-o", "new/", "--mode", "sd"], 3, "lacks prior-sd.safetensors"),
    (["rain", "-o", "new/", "--bits", "float", "--format", "flac"], 2, "Unknown .flac subtype"),
    (["rain", "-o", "there.wav/"], 2, "Cannot create the folder 'there.wav': Not a directory"),
    (["rain", "-o", "there.wav/a/b/"], 2, "Cannot create the folder 'there.wav/a/b': Not a"),
    (["rain", "-o", f"new/{'x' * 999}/"], 2, "File name too long"),
    (["rain", "-o", f"{'x' * 300}/"], 2, "Cannot create the folder 'xxx"),
    (["rain", "-o", "x.mp3"], 2, "ends in '.mp3'"),
    (["rain", "-o", "{promt}.wav"], 2, "Did you mean 'prompt'?"),
    (["rain", "-o", "there.wav"], 2, "exists"),
    (["rain", "--format", "mp3"], 2, "Unknown format 'mp3'"),
    (["rain", "--bits", "8"], 2, "Unknown bits '8'"),
    (["rain", "--bits", "float", "--format", "flac"], 2, "Unknown .flac subtype"),
    (["rain", "--bits", "16", "-o", "x.ogg"], 2, "'.ogg' has no --bits; leave it out."),
    (["rain", "--bits", "16", "--format", "ogg"], 2, "'.ogg' has no --bits; leave it out."),
    (["rain", "--overwrite", "--skip-existing"], 2, "Both --overwrite"),
    (["rain", "--stesp", "3"], 2, "Unknown option '--stesp'. Did you mean '--steps'?"),
    (["rain", "-o"], 2, "requires an argument"),
    (["--file", "missing.txt"], 2, "cannot be read"),
    (["--file", "bad.csv"], 2, "it reads 'words'"),
    (["--like", "missing.wav"], 2, "does not exist"),
    (["--like", "text.jpg"], 2, "as sound"),
    (["--like", "there.wav"], 2, "carries no recipe"),
]


@pytest.mark.parametrize(("arguments", "code", "part"), BAD)
def test_bad_input_is_one_line_and_writes_nothing(
    call, monkeypatch, violin_picture, arguments, code, part
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(play, "PLAYERS", [("no-player",)])
    shutil.copy(violin_picture, "cat.jpg")
    Path("empty.jpg").touch()
    Path("cut.jpg").write_bytes(violin_picture.read_bytes()[:400])
    Path("text.jpg").write_text("not a picture, nor a sound")
    Path("bad.csv").write_text("words\nrain\n")
    Path("folder").mkdir()
    soundfile.write("there.wav", [0.0] * 100, 16_000)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    seen, out, err = call(*arguments)
    assert (seen, out, len(err)) == (code, [], 1), err
    assert part in err[0]
    assert err[0].startswith("clipsonic: ")
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_a_folder_that_takes_no_files_is_rejected(call):
    if not Path("/proc").is_dir():
        pytest.skip("needs a folder that not even root can write to")
    code, out, err = call("rain", *FAST, "-o", "/proc/x.wav")
    assert (code, out, len(err)) == (2, [], 1)
    assert "Cannot write in '/proc'" in err[0]


def test_a_folder_that_nobody_can_create_is_rejected(call):
    if not Path("/proc").is_dir():
        pytest.skip("needs a folder that not even root can write to")
    code, out, err = call("rain", *FAST, "-o", "/proc/new/")
    assert (code, out, len(err)) == (2, [], 1)
    assert "Cannot create the folder '/proc/new'" in err[0]


@pytest.mark.parametrize("more", [(), ("--keep", 3), ("--skip-existing",)])
def test_a_slash_at_the_end_creates_the_folder(call, more):
    code, out, _ = call("rain", *FAST, "--seed", 7, "-n", 3, "-o", "new/deep/", *more)
    assert code == 0
    assert sorted(out) == [f"new/deep/rain-{seed}.wav" for seed in (7, 8, 9)]
    assert sorted(map(str, Path().rglob("*.*"))) == sorted(out)


def test_folders_of_a_file_are_created(call):
    assert call("a dog", *FAST, "-o", "new/deep/x.wav")[1] == ["new/deep/x.wav"]
    Path("x.csv").write_text("text,label\nrain,wet\nwind,dry\n")
    _, out, _ = call("--file", "x.csv", *FAST, "-o", "new/{label}/{prompt}.wav")
    assert out == ["new/wet/rain.wav", "new/dry/wind.wav"]
    assert all(Path(path).is_file() for path in out)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [((), "WAV"), (("--format", "ogg"), "OGG"), (("--like", "a.flac"), "FLAC")],
)
def test_a_sound_to_standard_output_is_all_that_is_there(
    micro, tmp_path, monkeypatch, capsysbinary, arguments, kind
):
    monkeypatch.chdir(tmp_path)
    how = ["generate", "a dog", *map(str, FAST), "--seed", "7", "--model", str(micro)]
    assert run([*how, "-o", "a.flac"]) == 0
    capsysbinary.readouterr()
    assert run([*how, "-n", "2", "--keep", "1", *arguments, "-o", "-"]) == 0
    sound = soundfile.SoundFile(io.BytesIO(capsysbinary.readouterr().out))
    assert (sound.format, sound.frames) == (kind, 4800)
    assert [path.name for path in Path().iterdir()] == ["a.flac"]
    assert json.loads(sound.comment)["recipe"]["text"] == "a dog"


def test_sounds_are_played_in_order_and_a_player_that_fails_is_noted_once(call, monkeypatch):
    played, answers = [], [None, "no device"]

    def answer(path, players):
        played.append((path.name, players))
        return answers[len(played) - 1]

    monkeypatch.setattr(deliver, "play", answer)
    monkeypatch.setattr(command, "find_players", lambda: [("x",)])
    code, out, err = call("rain", *FAST, "--seed", 1, "-n", 3, "--play")
    assert (code, len(out)) == (0, 3)
    assert played == [("rain-1.wav", [("x",)]), ("rain-2.wav", [("x",)])]
    assert [line for line in err if "played" in line] == ["note: no sound is played: no device"]


def test_a_full_disk_leaves_nothing_behind(call, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("clipsonic_cli.audio.files.os.replace", full)
    code, out, err = call("rain", *FAST, "--quiet", "-o", "new/{mode}/")
    assert (code, out, len(err)) == (1, [], 1)
    assert "No space left on device" in err[0]
    assert not list(Path().iterdir())


def test_ctrl_c_is_130_and_leaves_nothing_half_written(call, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("clipsonic_cli.pipeline.ClipSonic.generate", interrupted)
    code, out, err = call("rain", *FAST, "--quiet", "-o", "new/")
    assert (code, out, len(err)) == (130, [], 1)
    assert not list(Path().iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_at_once(micro, tmp_path, number):
    command = [sys.executable, "-m", "clipsonic_cli", "generate", "rain", "--preset", "paper"]
    with subprocess.Popen(
        [*command, "--seconds", "60", "--mode", "zs", "--model", str(micro)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while "seed" not in process.stderr.readline():
            pass
        process.send_signal(number)
        assert process.wait(timeout=120) == 130
        assert len(process.stderr.read().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_what_breaks_because_of_a_signal_ends_as_interrupted(call, monkeypatch):
    def interrupted_import(*_, **__):
        with contextlib.suppress(KeyboardInterrupt):  # as a package does whose import fails
            signals._interrupt()
        raise RecursionError("half imported")

    monkeypatch.setattr("clipsonic_cli.pipeline.ClipSonic.load", interrupted_import)
    message = "clipsonic: Interrupted. What was finished is kept, nothing is half written."
    assert call("dog", *FAST) == (130, [], [message])


def test_damaged_weights_are_one_line(call, micro, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(micro, model)
    with (model / "unet.safetensors").open("r+b") as file:
        file.truncate(10_000)
    code, out, err = call("rain", *FAST, model=model)
    assert (code, out, len(err)) == (1, [], 1)
    assert "unet.safetensors" in err[0]


def test_an_unforeseen_fault_is_one_line_unless_debugging(call, monkeypatch, capsys):
    def fault(*_, **__):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("clipsonic_cli.pipeline.ClipSonic.check", fault)
    code, _, err = call("rain", *FAST)
    assert (code, len(err)) == (1, 1)
    assert "first line second line. This is a bug in clipsonic; please open an issue" in err[0]
    with pytest.raises(RuntimeError, match="first line"):
        call("rain", *FAST, "--debug")
    assert capsys.readouterr().err.startswith(environment.describe())
    monkeypatch.setenv("CLIPSONIC_DEBUG", "1")
    with pytest.raises(RuntimeError, match="first line"):
        call("rain", *FAST)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_so(call, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr("clipsonic_cli.pipeline.ClipSonic.generate", full)
    code, out, err = call("rain", *FAST, "--quiet")
    assert (code, out, len(err)) == (1, [], 1)
    assert "Out of memory. Ask for fewer seconds" in err[0]


def test_the_script_reads_and_writes_utf_8_whatever_the_locale(monkeypatch):
    written, typed = io.BytesIO(), io.BytesIO("дождь".encode())
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed, encoding="cp1252"))
    monkeypatch.setattr(sys, "argv", ["clipsonic", "--version"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # of this process they are pytest's
    with pytest.raises(SystemExit):
        main()
    assert sys.stdin.read() == "дождь"
    sys.stdout.write("雨\udcff.wav")  # a file name that is no UTF-8
    sys.stdout.flush()
    assert written.getvalue().splitlines()[-1] == "雨".encode() + b"\xff.wav"


def test_help_lists_every_mode_and_sampler(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call("--help", "--model", "x")
    assert code == 0
    for name in (*MODES, *SAMPLERS, "--like", "--vocoder"):
        assert any(name in line for line in out)


def test_the_best_of_several_are_kept_under_their_own_seeds(call):
    code, out, err = call("dog", *FAST, "-n", 4, "--keep", 2, "--seed", 1, "--json")
    kept = [json.loads(line) for line in out]
    assert code == 0
    assert sorted(p.name for p in Path().iterdir()) == sorted(k["path"] for k in kept)
    scored = dict(zip(range(1, 5), scores(err), strict=True))
    best = sorted(scored, key=scored.get, reverse=True)[:2]
    ranks = [line for line in err if "best: " in line]
    assert ranks == [f"best: seed {best[0]}", f"2nd best: seed {best[1]}"]
    assert [k["seed"] for k in kept] == best
    assert [k["score"]["clap[mini]"] for k in kept] == pytest.approx(
        [scored[s] for s in best], abs=1e-3
    )
    assert any(line.startswith("note: not on this machine: clap;") for line in err)


def scores(lines):
    """Return the scores that were said, in their order."""
    return [float(line.rpartition("clap[mini] ")[2]) for line in lines if ": clap[mini] 0" in line]


def test_the_best_takes_a_name_that_says_no_seed(call):
    _, out, err = call("dog", *FAST, "-n", 3, "--keep", 1, "--seed", 1, "-o", "dog.wav")
    scored = scores(err)
    assert out == ["dog.wav"]
    assert [p.name for p in Path().iterdir()] == ["dog.wav"]
    assert read_recipe(Path("dog.wav")).seed == 1 + scored.index(max(scored))


def test_sounds_of_an_image_are_kept_by_quality(call, fakes, monkeypatch):
    from clipsonic_cli.evaluation import backbones
    from clipsonic_cli.metrics import BACKBONES

    Image.new("RGB", (8, 8)).save("cat.png")
    how = ["--image", "cat.png", *PICTURE, "-n", 3, "--keep", 1, "--keep-by", "aes", "--seed", 1]
    code, _, (line,) = call(*how, "-q")
    assert (code, "clipsonic download audiobox" in line) == (3, True)
    monkeypatch.setitem(BACKBONES._entries, "audiobox", "fake_backbones:FakeRatings")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    code, (kept,), err = call(*how, "--json")
    said = [float(line.rpartition("aes-pq ")[2]) for line in err if ": aes-pq " in line]
    assert (code, len(said)) == (0, 3)
    assert json.loads(kept)["score"]["aes-pq"] == pytest.approx(max(said), abs=1e-3)


def test_every_query_keeps_its_own_best(call):
    _, out, _ = call(
        "a dog", "a cat", *FAST, "-n", 2, "--keep", 1, "--seed", 1, "-o", "{prompt}.wav"
    )
    assert out == ["a-dog.wav", "a-cat.wav"]


def test_a_score_of_one_sound_is_that_of_its_evaluation(call):
    _, (path,), err = call("dog", *FAST, "--keep", 1, "--format", "wav", "--bits", "float")
    evaluated = run(["eval", "--generated", str(Path(path).parent), "--metrics", "clap"])
    table = json.loads(Path("eval", Path.cwd().name, "report.json").read_text())
    (score,) = table["rows"][0]["scores"]
    assert evaluated == 0
    assert score["value"] == pytest.approx(scores(err)[0], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dog", "-n", 3, "--keep", 4], "from 1 to the 3"),
        (["dog", "-n", 3, "--keep", 0], "from 1 to the 3"),
        (["dog", "-n", 3, "--keep", 1, "--skip-existing"], "--skip-existing"),
        (["--image", "cat.png", "-n", 3, "--keep", 1], "is an image; rank by quality (--keep-by"),
        (["dog", "-n", 3, "--keep-by", "aes"], "give both"),
        (["dog", "-n", 3, "--keep", 1, "--keep-by", "fad"], "Unknown keep-by 'fad'"),
    ],
)
def test_what_cannot_be_kept_is_rejected_before_anything_is_made(call, arguments, words):
    Image.new("RGB", (8, 8)).save("cat.png")
    code, out, (line,) = call(*arguments)
    assert (code, out) == (2, [])
    assert words in line


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_sound_that_would_clip_is_made_quieter_and_that_is_said(call, monkeypatch, suffix):
    from clipsonic_cli.audio.level import CEILING
    from clipsonic_cli.parts import Parts

    def loud(*_):
        return lambda mel: 2.4 * torch.sin(torch.arange(mel.shape[-1] * 512) * 0.3)[None]

    monkeypatch.setattr(Parts, "vocoder", loud)
    code, out, err = call("rain", *FAST, "--seed", 1, "--json", "--format", suffix)
    result = json.loads(out[0])
    assert (code, result["path"]) == (0, f"rain-1.{suffix}")
    assert result["gain"] == pytest.approx(CEILING / 2.4, rel=0.1)  # an Ogg takes more
    assert any(" dB quieter than the model made it" in line for line in err)
    assert abs(soundfile.read(result["path"])[0]).max() <= CEILING + 2**-15
    _, again, _ = call("--like", result["path"], "-o", f"again.{suffix}")
    assert soundfile.read(again[0])[0].tolist() == soundfile.read(result["path"])[0].tolist()


def test_a_sound_that_fits_is_not_said_to_be_quieter(call):
    _, out, err = call("rain", *FAST, "--json")
    assert json.loads(out[0])["gain"] == 1
    assert not any("quieter" in line for line in err)


def test_a_sound_longer_than_the_model_makes_in_one_piece_is_noted_once(call):
    _, _, err = call("rain", "a dog", "--mode", "zs", "--steps", 1, "--seconds", 4.2)
    assert [line for line in err if line.startswith("note: sounds longer")] == [
        "note: sounds longer than the model's native 4.1 s tend to become steady tones"
    ]


def test_a_batch_is_as_one_by_one_up_to_rounding(call):
    Path("x.csv").write_text("text,steps\nrain,\na dog,\nwind,3\n")
    for size, folder in ((1, "alone/"), (2, "together/")):
        batch = ("--batch-size", size, "--bits", "float", "-o", folder)
        code, out, err = call("--file", "x.csv", *FAST, "--seed", 7, *batch)
        assert (code, len(out)) == (0, 3)
    assert [line for line in err if "steps" in line or "seed " in line][1:] == [
        "mode zs, w 1.5, unipc in 2 steps, 0.3 s",
        "1/3 seed 7: 'rain'",
        "2/3 seed 7: 'a dog'",
        "mode zs, w 1.5, unipc in 3 steps, 0.3 s",
        "3/3 seed 7: 'wind'",
    ]
    for path in Path("alone").iterdir():
        alone, together = (soundfile.read(p)[0] for p in (path, Path("together", path.name)))
        assert together == pytest.approx(alone, abs=1e-3)


def test_exact_sounds_of_a_list_are_bit_for_bit_as_alone(call):
    Path("x.csv").write_text("text,seed\nrain,1\na dog,2\nwind,3\n")
    output = ("--bits", "float", "--mode", "zs", "--steps", 2, "--seconds", 0.3)
    assert call("--file", "x.csv", "--exact", *output, "-o", "list/{seed}.wav")[0] == 0
    for seed, text in enumerate(("rain", "a dog", "wind"), start=1):
        assert call(text, "--seed", seed, *output, "-o", "alone.wav", "--overwrite")[0] == 0
        alone, made = (soundfile.read(path)[0] for path in ("alone.wav", f"list/{seed}.wav"))
        assert made.tolist() == alone.tolist()


def test_exact_is_no_batch(call):
    code, _, err = call("rain", "--exact", "--batch-size", 2)
    assert (code, err[-1]) == (
        2,
        "clipsonic: --exact makes sounds one by one; leave it or --batch-size out.",
    )


@pytest.mark.parametrize(
    ("prompts", "sampler", "steps", "said"),
    [
        (("rain", "a dog"), "ddpm", 3, True),
        (("rain",), "ddpm", 100, False),
        (("rain",), "dpmpp", 3, False),
    ],
)
def test_ddpm_in_too_few_steps_is_said_once(call, prompts, sampler, steps, said):
    how = ("--mode", "zs", "--seconds", 0.1, "--sampler", sampler, "--steps", steps)
    _, _, err = call(*prompts, *how)
    notes = [line for line in err if "too few" in line]
    assert len(notes) == said
    assert all("ddpm (3)" in note and "use unipc" in note for note in notes)


def test_a_vocoder_that_was_not_compared_is_named_with_its_option(call, micro, tmp_path):
    folder = tmp_path / "uncompared"
    shutil.copytree(micro, folder)
    part = bundle.load(folder / "vocoder.safetensors", kind="vocoder")
    header = dataclasses.replace(part.header, meta={})
    bundle.write(folder / "vocoder.safetensors", dataclasses.replace(part, header=header))
    code, _, err = call("dog", "--model", folder, "--steps", 1, "--seconds", 0.1, "--mode", "zs")
    assert code == 0
    assert any("--vocoder bigvgan plays it" in line for line in err)


def test_the_preset_instant_is_the_models_student(call, micro_student):
    arguments = ("rain", "--mode", "zs", "--seconds", 0.3, "--seed", 1)
    code, (path,), err = call(*arguments, "--preset", "instant", model=micro_student)
    assert (code, err[2]) == (0, "mode zs, w 1.5, student, ddim in 4 steps, 0.3 s")
    recipe = read_recipe(Path(path))
    assert (recipe.student, recipe.steps, recipe.sampler) == (True, 4, "ddim")
    # The file repeats it; another preset leaves the student out.
    call("--like", path, "-o", "again.wav", model=micro_student)
    assert Path("again.wav").read_bytes() == Path(path).read_bytes()
    call("--like", path, "--preset", "fast", "-o", "fast.wav", model=micro_student)
    assert not read_recipe(Path("fast.wav")).student
    # The number of steps it was trained for may be given, and no other.
    assert (
        call(*arguments, "--preset", "instant", "--steps", 4, "-o", "4.wav", model=micro_student)[0]
        == 0
    )
    code, _, (said,) = call(
        *arguments, "--preset", "instant", "--steps", 1, "-o", "1.wav", model=micro_student
    )
    assert (code, "trained for 4 steps, not 1. Leave out --steps" in said) == (2, True)


def test_the_preset_instant_says_how_to_get_a_student(call):
    code, out, (said,) = call("rain", "--preset", "instant")
    assert (code, out) == (3, [])
    assert "lacks student.safetensors. To train student" in said
    assert "clipsonic train --data DIR --stage student --base" in said
