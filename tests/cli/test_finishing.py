"""Options of ``clipsonic generate`` that finish sounds and draw them."""

import json
from pathlib import Path

import pytest
import soundfile
import torch
from PIL import Image

from clipsonic_cli.audio.loudness import loudness
from clipsonic_cli.cli import run
from clipsonic_cli.config import Finish
from clipsonic_cli.evaluation.audio_files import read_as_made
from clipsonic_cli.parts import Parts
from clipsonic_cli.sound import read_making

FAST = ("--steps", 1, "--seconds", 1, "--mode", "zs", "--seed", 1)


@pytest.fixture
def call(micro, tmp_path, monkeypatch, capsys):
    """Run ``clipsonic generate`` in an empty folder; return code, results and stderr lines.

    The vocoder makes a second of a tone of -29 dB between halves of silence.
    """
    monkeypatch.chdir(tmp_path)

    def vocode(mel):
        place = torch.arange(mel.shape[-1] * 512)
        tone = 0.05 * torch.sin(place * 0.3) * ((place > 4000) & (place < 12_000))
        return tone.expand(len(mel), -1)

    monkeypatch.setattr(Parts, "vocoder", lambda *_: vocode)
    monkeypatch.setattr("clipsonic_cli.stages.onset", lambda *_: 0)

    def call(*arguments):
        code = run(["generate", "--model", str(micro), "--json", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, list(map(json.loads, printed.out.splitlines())), printed.err.splitlines()

    return call


def test_all_that_was_done_is_in_the_file_in_json_and_on_stderr(call):
    options = ("--trim", "--normalize", -23, "--rate", 48_000)
    code, (result,), err = call("rain", *FAST, *options)
    assert (code, result["path"], result["sample_rate"]) == (0, "rain-1.wav", 48_000)
    assert result["finish"] == {"trim": True, "rate": 48_000, "normalize": -23.0}
    assert result["lufs"] == -23
    assert result["seconds"] == pytest.approx(0.507, abs=0.001)
    [line] = [line for line in err if line.startswith("rain-1.wav: ")]
    assert line.startswith("rain-1.wav: 0.51 of 1.00 s, 48000 Hz, -23.0 LUFS, ")
    assert line.endswith(" dB louder than the model made it (eval undoes it)")
    samples, rate = soundfile.read(result["path"], dtype="float32")
    assert loudness(torch.from_numpy(samples), rate) == pytest.approx(-23, abs=0.01)
    assert read_making(Path(result["path"]))[1] == Finish(trim=True, rate=48_000, normalize=-23)
    made = read_as_made(Path(result["path"])).samples
    assert abs(made).max() == pytest.approx(0.05, rel=0.01)


def test_a_sound_like_another_is_finished_alike_unless_options_say_otherwise(call):
    call("rain", *FAST, "--trim", "--normalize", "peak", "--rate", 44_100)
    _, (again,), _ = call("--like", "rain-1.wav")
    assert Path(again["path"]).read_bytes() == Path("rain-1.wav").read_bytes()
    undone = ("--no-trim", "--normalize", "none", "--rate", 16_000)
    _, (plain,), _ = call("--like", "rain-1.wav", *undone, "-o", "plain.wav")
    call("rain", *FAST, "-o", "never.wav")
    assert read("plain.wav") == read("never.wav")
    assert plain["finish"] == {"trim": False, "rate": 16_000, "normalize": None}
    _, (partly,), _ = call("--like", "rain-1.wav", "--normalize", -30, "-o", "partly.wav")
    assert partly["finish"] == {"trim": True, "rate": 44_100, "normalize": -30.0}


def read(path):
    samples, rate = soundfile.read(path)
    return rate, samples.tolist()


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("peak", "peak at -1 dBFS, 25.0 dB louder"),
        (-3, " LUFS instead of -3, as the peak is at -1 dBFS, 25.0 dB louder"),
        ("=-50", "-50.0 LUFS, "),
        ("none", None),
    ],
)
def test_a_level_that_the_peak_does_not_allow_is_said(call, level, said):
    option = [f"--normalize{level}"] if str(level).startswith("=") else ["--normalize", level]
    _, (result,), err = call("rain", *FAST, *option)
    lines = [line for line in err if line.startswith("rain-1.wav: ")]
    assert len(lines) == (said is not None)
    if said is not None:
        assert said in lines[0]
    assert abs(soundfile.read(result["path"])[0]).max() <= 10 ** (-1 / 20) + 2**-15


def test_silence_is_said_and_kept(call, monkeypatch):
    silence = lambda mel: torch.zeros(len(mel), mel.shape[-1] * 512)  # noqa: E731
    monkeypatch.setattr(Parts, "vocoder", lambda *_: silence)
    _, (result,), err = call("rain", *FAST, "--trim", "--normalize", -23)
    assert "rain-1.wav: no silence to trim, too soft to be normalized" in err
    assert (result["seconds"], result["lufs"], result["gain"]) == (1, None, 1)


def test_a_spectrogram_lies_next_to_each_sound(call):
    _, results, _ = call("rain", "a dog", *FAST, "--spectrogram", "--rate", 44_100)
    assert [r["spectrogram"] for r in results] == ["rain-1.png", "a-dog-1.png"]
    for result in results:
        with Image.open(result["spectrogram"]) as image:
            assert image.size == (186, 302)  # 32 frames
    code, _, (line,) = call("rain", *FAST, "--spectrogram", "-o", "a-dog-1.flac")
    assert (code, "'a-dog-1.png' exists. Give --overwrite or another -o" in line) == (2, True)
    assert not Path("a-dog-1.flac").exists()
    assert call("rain", *FAST, "--spectrogram", "-o", "a-dog-1.wav", "--overwrite")[0] == 0


def test_no_spectrogram_replaces_the_image_that_is_sounded(call, violin_picture):
    with Image.open(violin_picture) as image:
        image.save("cat.png")
    for image in ("cat.png", Path("cat.png").resolve()):
        how = ("--spectrogram", "-o", "cat.wav", "--overwrite")
        code, _, (line,) = call("--image", image, "--steps", 1, *how)
        assert code == 2
        assert "would replace the image" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", 7000], "--rate is 7000; it must be a whole number from 8000 to 192,000"),
        (["--rate", "44.1"], "'44.1' is not a whole number"),
        (["--normalize", "loud"], "'loud' is neither 'peak' nor 'none' nor a loudness in LUFS"),
        (["--normalize", 3], "--normalize is 3.0; it must be from -60 to 0"),
        (["--normalize", "nan"], "--normalize is nan"),
    ],
)
def test_what_cannot_be_done_is_rejected_before_any_work(call, arguments, words):
    code, out, (line,) = call("rain", *arguments)
    assert (code, out) == (2, [])
    assert words in line


def test_standard_output_has_no_place_for_a_spectrogram(call):
    assert run(["generate", "rain", "--spectrogram", "-o", "-"]) == 2
