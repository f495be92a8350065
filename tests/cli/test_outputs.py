import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.audio.files import SUBTYPES
from clipsonic_cli.cli.generate import outputs
from clipsonic_cli.errors import UsageError
from clipsonic_cli.text import DEVICES


def paths(output: str | None, suffix: str | None, sounds: list[dict[str, str | int]]) -> list[Path]:
    return outputs.Template.parse(output, suffix, several=len(sounds) > 1).paths(sounds)


def sound(prompt: str = "rain", seed: int = 1, index: int = 1) -> dict[str, str | int]:
    return {"prompt": prompt, "seed": seed, "mode": "pd", "index": index}


@given(st.text())
def test_a_slug_is_one_safe_piece_of_a_file_name(text):
    name = outputs.slug(text)
    assert 1 <= len(name.encode()) <= 121
    assert not set(name) & set('/\\:*?"<>|. \n\t\0')
    assert not name.startswith("-")
    assert name.casefold() not in DEVICES


@given(st.text())
def test_a_slug_of_a_slug_is_itself(text):
    assert outputs.slug(outputs.slug(text)) == outputs.slug(text)


def test_a_slug_keeps_letters_of_any_script():
    assert outputs.slug("дождь  по крыше!") == "дождь-по-крыше"
    assert outputs.slug("雨の音 (1)") == "雨の音-1"
    assert outputs.slug("हिन्दी") == "हिन्दी"
    assert outputs.slug("../etc/passwd") == "etc-passwd"
    assert outputs.slug("?!") == "sound"
    assert outputs.slug("CON") == "CON_"
    assert outputs.slug("com¹") == "com¹_"


@given(st.lists(st.tuples(st.text(), st.integers(0, 3)), max_size=12))
def test_no_two_sounds_share_a_file_even_where_case_is_ignored(asked):
    named = paths(None, None, [sound(prompt, seed) for prompt, seed in asked])
    folded = {unicodedata.normalize("NFC", str(path)).casefold() for path in named}
    assert len(folded) == len(asked)
    assert all(path.parent == Path() and len(path.name.encode()) < 255 for path in named)


def test_the_default_name_is_prompt_and_seed():
    assert paths(None, None, [sound("a dog barks", 7)]) == [Path("a-dog-barks-7.wav")]
    assert paths(None, "flac", [sound("a", 7)]) == [Path("a-7.flac")]


def test_a_folder_takes_default_names(tmp_path):
    assert paths(str(tmp_path), "ogg", [sound()]) == [tmp_path / "rain-1.ogg"]
    assert paths("missing/", None, [sound()]) == [Path("missing/rain-1.wav")]


def test_a_file_is_taken_as_it_is_and_numbered_for_more():
    assert paths("Sub dir/x.y.FLAC", None, [sound()]) == [Path("Sub dir/x.y.flac")]
    assert paths("x.wav", None, [sound(), sound()]) == [Path("x.wav"), Path("x-2.wav")]


def test_a_template_is_filled_with_safe_values():
    fields = sound("a/b") | {"label": "../x"}
    (path,) = paths("out/{index:03d}_{prompt}_{label}_{mode}.wav", None, [fields])
    assert path == Path("out/001_a-b_x_pd.wav")


def test_folders_may_have_fields_unless_there_is_one_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = [sound("a") | {"label": "../x"}, sound("A") | {"label": "X"}]
    assert paths("{label}/{prompt}.wav", None, fields) == [Path("x/a.wav"), Path("X/A-2.wav")]
    assert paths("new/{mode}/", None, fields[:1]) == [Path("new/pd/a-1.wav")]
    (tmp_path / "{mode}").mkdir()
    assert paths("{mode}/{prompt}.wav", None, fields[:1]) == [Path("{mode}/a.wav")]
    assert paths("{mode}", None, fields[:1]) == [Path("{mode}/a-1.wav")]


def test_a_name_without_an_ending_is_a_folder_of_several_sounds():
    assert paths("a/pics", "flac", [sound(), sound(seed=2)]) == [
        Path("a/pics/rain-1.flac"),
        Path("a/pics/rain-2.flac"),
    ]
    for name, why in ((".flac", "without a name"), ("x.mp3", "ends in"), ("pics\\", "no folder")):
        with pytest.raises(UsageError, match=why):
            paths(name, None, [sound(), sound(seed=2)])


@pytest.mark.parametrize(
    ("output", "suffix", "part"),
    [
        ("x.mp3", None, "ends in '.mp3'"),
        (".flac", None, "'.flac' is an ending without a name; give one such as 'sound.flac'"),
        ("pics/.WAV", None, "or --format wav"),
        ("sounds\\", None, "is no folder"),
        ("{label}/", None, "Unknown output field 'label'"),
        ("{promt}/x.wav", None, "Did you mean 'prompt'"),
        ("{label/", None, "malformed"),
        ("sounds", None, "is no folder"),
        ("x.wav", "flac", "--format says flac"),
        ("", None, "no file name"),
        ("a\0.wav", None, "no file name"),
        ("{promt}.wav", None, "Did you mean 'prompt'"),
        ("{seed.wav", None, "malformed"),
        ("{seed.__class__}.wav", None, "no field name"),
        ("{0}.wav", None, "no field name"),
        ("{}.wav", None, "no field name"),
        ("{prompt:d}.wav", None, "malformed"),
        ("{seed:9999999999}.wav", None, "':9999999999' is not a width"),
        ("{seed:{seed}}.wav", None, "is not a width"),
    ],
)
def test_an_output_that_cannot_be_is_rejected(output, suffix, part):
    with pytest.raises(UsageError, match="(?s)" + part.replace(".", r"\.").replace("(", r"\(")):
        paths(output, suffix, [sound()])


@given(st.text())
def test_any_template_gives_a_name_or_a_usage_error(template):
    try:
        (path,) = paths(template + ".wav", None, [sound()])
    except UsageError:
        return
    assert path.suffix == ".wav"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stdout", "sounds", "options", "part"),
    [
        (Terminal(), 1, {}, "is a terminal here; pipe it"),
        (io.StringIO(), 2, {}, "here are 2; give -o a folder"),
        (io.StringIO(), 1, {"json": True}, "--json writes there too"),
        (io.StringIO(), 1, {"skip-existing": True}, "--skip-existing finds no file"),
        (io.StringIO(), 1, {"spectrogram": True}, "--spectrogram draws next to a file"),
    ],
)
def test_standard_output_takes_one_sound_and_nothing_else(stdout, sounds, options, part):
    with pytest.raises(UsageError, match=part):
        outputs.check_stdout(stdout, sounds, options)
    outputs.check_stdout(io.StringIO(), 1, dict.fromkeys(outputs.FOR_FILES, False))


def test_existing_files_are_rejected_unless_overwritten(tmp_path):
    path = tmp_path / "x.wav"
    path.touch()
    with pytest.raises(UsageError, match="--overwrite, --skip-existing"):
        outputs.check_paths([path], None, overwrite=False)
    outputs.check_paths([path], None, overwrite=True)


def test_bits_have_the_names_of_audio_files():
    assert set(outputs.SUBTYPES.values()) == set(SUBTYPES[".wav"])
