import forgive
import pytest
import torch
import typer
from make_media import put
from PIL import Image

from clipsonic_cli.cli import app
from clipsonic_cli.data.listing import list_clips
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.evaluation import test_set
from clipsonic_cli.pipeline import ClipSonic

SAME = {mode: torch.linspace(0.1, 0.3, 10) for mode in forgive.CONDITIONS}


def test_a_difference_is_said_where_it_is_beyond_its_interval():
    noise = torch.linspace(-0.1, 0.1, 10)
    changed = {"iq": SAME["iq"] * 1.1, "zs": SAME["zs"] * 0.8, "ms": SAME["ms"] * (1 + noise)}
    assert forgive.findings({"none": SAME, "noise": SAME | changed}) == [
        "- noise: the error of iq is 10.0% larger",
        "- noise: the error of zs is 20.0% smaller",
    ]
    assert forgive.findings({"none": SAME, "noise": SAME})[0].startswith("- Nothing beyond")


def test_the_page_has_the_errors_and_the_options_of_each_way():
    lines = forgive.page({"none": SAME, "crops": SAME}, steps=2, count=3).splitlines()
    assert "- crops: `clipsonic train --crops 2`" in lines
    assert "| crops |" + " 0.2000 |" * len(forgive.CONDITIONS) in lines
    assert "| crops |" + " +0.0% (+0.0% to +0.0%) |" * len(forgive.CONDITIONS) in lines


def test_values_are_averaged_by_label():
    means = forgive.by_label(torch.tensor([1.0, 5.0, 3.0]), ["cat", "ant", "cat"])
    assert means.tolist() == [5.0, 2.0]


def test_a_true_picture_helps_to_denoise_its_sound(tmp_path, monkeypatch):
    monkeypatch.setattr(forgive, "LEVELS", (600,))
    sonic = ClipSonic.load("mini")
    items = []
    for seed, label in enumerate(["violin", "drum kit"]):
        sound = sonic(f"a photo of {label}", mode="pd", seed=seed, steps=4)
        sound.write(tmp_path / f"{label}.wav")
        Image.new("RGB", (8, 8)).save(tmp_path / f"{label}.png")
        items.append(
            test_set.TestItem(
                name=label,
                seed=seed,
                label=label,
                sound=tmp_path / f"{label}.wav",
                image=tmp_path / f"{label}.png",
            )
        )
    errors = forgive.errors_of(sonic, items)
    assert set(errors) == set(forgive.CONDITIONS)
    assert (errors["pd"] < errors["no condition"]).all()


def test_a_list_is_read_with_the_videos_of_the_folder_above(tmp_path):
    put(tmp_path / "videos" / "test" / "dog" / "a.mp4", b"nonsense")
    row = {"media": "videos/test/dog/a.mp4", "label": "dog", "split": "test"}
    path = forgive.write_list(tmp_path / "forgive" / "test.jsonl", [row])
    (clip,) = list_clips(str(forgive.write_list(path, [row])), splits=SplitDraw()).clips
    assert (clip.id, clip.split, clip.problem) == ("videos/test/dog/a.mp4", "test", None)


@pytest.mark.parametrize("way", forgive.WAYS)
def test_every_way_is_an_option_of_train(way):
    known = [name for p in typer.main.get_command(app).commands["train"].params for name in p.opts]
    assert {word for word in forgive.WAYS[way] if word.startswith("--")} <= set(known)
