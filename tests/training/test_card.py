import dataclasses
import shutil

import pytest

from clipsonic_cli.data.check import Finding, Flaw
from clipsonic_cli.data.report import summarize
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.preparation.catalogue import Catalogue, ClipLocation
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.training.card import LABELS, data_summary, write_card
from clipsonic_cli.types import Clip

PLACE = ClipLocation(
    shard=0, mel=0, mel_frames=3125, frame=0, frames=1, wave=0, samples=0, frame_rate=1.0
)  # 100 s
META = {
    "steps": 1200,
    "minutes": 12.5,
    "losses": {"unet": 0.25, "unet_quarter_1": 0.5},
    "best": {"step": 1000, "held_out_loss": 0.23456},
    "data": {
        "name": "music",
        "found": 1500,
        "kept": 1400,
        "hours": 2.5,
        "splits": {"train": 1300, "valid": 100},
        "labels": 2,
        "flaws": {"silent": 7},
        "most_labels": {"violin": 900, "cello": 500},
    },
    "warm_start": None,
    "licence": "CC-BY-4.0",
    "settings": {"stage": "unet", "lr": 1e-4},
    "run": "0123456789ab",
}


@pytest.fixture
def model(micro, tmp_path):
    shutil.copytree(micro, tmp_path / "model")
    return ModelFolder(tmp_path / "model")


def trained(model, stem, **meta):
    path = model.part(stem)
    loaded = bundle.load(path, kind=bundle.read_header(path).kind)
    weights = {name: weight.clone() for name, weight in loaded.weights.items()}
    header = dataclasses.replace(loaded.header, meta=META | meta)
    bundle.write(path, Bundle(header=header, weights=weights))


def card(model, command="clipsonic generate --model it rain"):
    write_card(model, "it", command)
    return (model.path / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "# it\n",
        "    clipsonic generate --model it rain\n",
        "| clip | clip | not stated | taken over |",
        "| unet | unet | CC-BY-4.0 | trained, see below |",
        "Licence: CC-BY-4.0.",
        '"music", 1,500 clips found, 1,400 kept',
        "2.50 hours; train 1,300, valid 100",
        "Flaws seen: silent 7.",
        "Labels (2): violin (900), cello (500).",
        "After 1,200 steps (12.5 minutes)",
        "step 1,000, which has the lowest validation loss (0.23456)",
        "| unet | 0.2500 |",
        "| encoder | micro-clip |",
        "| initial weights | random |",
        "| network: channels | 32 |",
        "| diffusion: prediction | eps |",
        "| lr | 0.0001 |",
    ],
)
def test_a_card_tells_what_there_is_to_know(model, text):
    trained(model, "unet")
    assert text in card(model)


def test_every_part_that_was_trained_has_its_chapter(model):
    trained(model, "unet")
    scores = {"bigvgan": {"log_mel_l1": 0.5}, "griffin-lim": {"log_mel_l1": 0.25}}
    compared = {"scores": scores, "scored_on": "held-out clips", "default_vocoder": "griffin-lim"}
    trained(model, "vocoder", **compared, best=None)
    text = card(model, None)
    assert text.index("## unet") < text.index("## vocoder")
    assert "## prior" not in text
    assert "`unet`, `vocoder`" in text
    assert "| griffin-lim: log mel l1 | 0.2500 |" in text
    assert "The default vocoder is griffin-lim, by held-out clips." in text
    assert "averages up to the last step" in text


def test_data_without_labels_needs_none(model):
    trained(model, "unet", data=META["data"] | {"labels": 0, "most_labels": {}, "flaws": {}})
    text = card(model)
    assert "Labels (0): none, and none are needed." in text
    assert "Flaws seen: none." in text


def catalogue(labels):
    made = Catalogue(PreparationConfig(), "folder", ["shard"])
    for number, label in enumerate(labels):
        made.add(f"clip-{number}", label, "valid" if number == 0 else "train", PLACE)
    return made


def test_data_are_summed_up():
    clips = [Clip(id="a", media=None), Clip(id="b", media=None)]
    flaw = Flaw(kind="silent", reason="-90 dB")
    survey = summarize(
        [Finding(clip=clips[0]), Finding(clip=clips[1], flaws=(flaw,), dropped=True)]
    )
    splits = SplitDraw(seed=3)
    text = data_summary("music", catalogue(["cello", None, "cello", "oboe"]), survey, splits)
    assert text["drawn"] == {"seed": 3, "test_share": 0.1, "valid_share": 0.05}
    assert (text["name"], text["found"], text["kept"]) == ("music", 2, 4)
    assert text["hours"] == round(4 * 100 / 3600, 3)
    assert text["splits"] == {"valid": 1, "train": 3}
    assert (text["labels"], text["most_labels"]) == (2, {"cello": 2, "oboe": 1})
    assert text["flaws"] == {"silent": 1}


def test_of_many_labels_the_most_frequent_are_listed(model):
    labels = [f"label {number % 50}" for number in range(120)]
    text = data_summary("music", catalogue(labels), None)
    assert (text["labels"], len(text["most_labels"]), text["found"]) == (50, LABELS, 120)
    trained(model, "unet", data=text)
    assert " and 10 more." in card(model)
