import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clipsonic_cli.errors import UsageError
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED
from clipsonic_cli.trainer.tracking import MetricsLog
from clipsonic_cli.training.previews import make_samples
from clipsonic_cli.types import Query

CPU = torch.device("cpu")
FAST = {"device": CPU, "steps": 2, "seconds": 0.5}
TEXT = Query(text="A photo of: violin?")


class Shown:
    """A tracker that keeps what it is given."""

    def __init__(self):
        self.waveforms, self.images = {}, {}

    def show(self, step, name, value):
        shown = self.images if isinstance(value, Image.Image) else self.waveforms
        shown[step, name] = value


@pytest.fixture
def log(tmp_path):
    made = MetricsLog(tmp_path, 0)
    made.trackers.append(Shown())
    return made


@pytest.fixture
def model(micro, tmp_path):
    return shutil.copytree(micro, tmp_path / "model")


def rewrite(path, change):
    kind = bundle.read_header(path).kind
    bundle.write(path, change(bundle.load(path, kind=kind)))


def test_texts_and_images_become_files_with_recipes_and_are_shown(tmp_path, violin_picture, log):
    queries = [TEXT, Query(image=violin_picture)]
    files = make_samples(
        BUNDLED / "mini", queries, tmp_path, 1000, log, **FAST, on_message=pytest.fail
    )
    stems = ["01-A-photo-of-violin", "02-violin"]
    folder = tmp_path / "samples" / "step-00001000"
    assert files == [folder / f"{s}.{end}" for s in stems for end in ("wav", "png")]
    recipes = [read_recipe(path) for path in files[::2]]
    assert [(r.query, r.mode, r.seed) for r in recipes] == [
        (queries[0], "db", 1),
        (queries[1], "iq", 2),
    ]
    (shown,) = log.trackers
    assert list(shown.waveforms) == [(1000, f"sounds/{stem}") for stem in stems]
    assert list(shown.images) == [(1000, f"mels/{stem}") for stem in stems]
    assert all(len(sound.samples) == 8000 for sound in shown.waveforms.values())
    assert np.array_equal(Image.open(files[1]), shown.images[1000, f"mels/{stems[0]}"])


def test_the_same_weights_sound_the_same_at_every_step(micro, tmp_path, log):
    for step in (1, 2):
        make_samples(micro, [TEXT], tmp_path, step, log, **FAST)
    first, second = log.trackers[0].waveforms.values()
    assert torch.equal(first.samples, second.samples)


def test_samples_leave_the_global_generator_alone(micro, tmp_path, log):
    before = torch.get_rng_state()
    assert make_samples(micro, [TEXT], tmp_path, 1, log, **FAST)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_of_a_step_done_again_replace_the_old(micro, tmp_path, log):
    first, second = (make_samples(micro, [TEXT], tmp_path, 1, log, **FAST) for _ in range(2))
    assert first == second
    assert len(list(tmp_path.rglob("samples/*/*"))) == 2


def test_a_text_runs_in_the_first_mode_that_is_complete(model, tmp_path, log):
    (model / "prior.safetensors").unlink()
    files = make_samples(model, [TEXT], tmp_path, 1, log, **FAST, on_message=pytest.fail)
    assert read_recipe(files[0]).mode == "zs"


def test_a_part_that_does_not_fit_is_passed_over_with_a_note(model, tmp_path, log):
    rewrite(
        model / "prior.safetensors",
        lambda prior: replace(prior, header=replace(prior.header, encoder="another-clip")),
    )
    notes = []
    files = make_samples(model, [TEXT], tmp_path, 1, log, **FAST, on_message=notes.append)
    assert read_recipe(files[0]).mode == "zs"
    (note,) = notes
    assert "in mode 'zs'" in note
    assert "another-clip" in note


def test_a_query_no_mode_answers_is_reported_and_the_others_are_made(micro, tmp_path, log):
    queries = [Query(image=tmp_path / "absent.png"), TEXT]
    notes = []
    files = make_samples(micro, queries, tmp_path, 1, log, **FAST, on_message=notes.append)
    assert [path.name for path in files] == [
        "02-A-photo-of-violin.wav",
        "02-A-photo-of-violin.png",
    ]
    (note,) = notes
    assert note.startswith("No sound for 'absent': There is no image")


def test_a_model_without_a_unet_gives_notes_alone(model, tmp_path, log):
    (model / "unet.safetensors").unlink()
    notes = []
    assert make_samples(model, [TEXT], tmp_path, 1, log, **FAST, on_message=notes.append) == []
    assert "lacks unet.safetensors" in notes[0]


def test_networks_that_give_no_number_end_nothing(model, tmp_path, log):
    def spoil(unet):
        weights = {name: torch.full_like(w, torch.nan) for name, w in unet.weights.items()}
        return replace(unet, weights=weights)

    rewrite(model / "unet.safetensors", spoil)
    notes = []
    assert make_samples(model, [TEXT], tmp_path, 1, log, **FAST, on_message=notes.append) == []
    assert "NaN or infinite samples" in notes[0]
    assert not list(tmp_path.rglob("*.wav"))


def test_a_damaged_vocoder_ends_nothing(model, tmp_path, log):
    (model / "vocoder.safetensors").write_bytes(b"half")
    notes = []
    assert make_samples(model, [TEXT], tmp_path, 1, log, **FAST, on_message=notes.append) == []
    assert "vocoder" in notes[0]


def test_steps_out_of_range_are_rejected_before_anything_is_made(micro, tmp_path, log):
    with pytest.raises(UsageError, match="steps is 0"):
        make_samples(micro, [TEXT], tmp_path, 1, log, device=CPU, steps=0)
    assert not (tmp_path / "samples").exists()


def test_names_are_safe_and_short(micro, violin_picture, tmp_path, log):
    dots = shutil.copy(violin_picture, tmp_path / "….jpg")
    queries = [Query(text="../../etc\\con?"), Query(image=dots), Query(text="día " + "日" * 50)]
    files = make_samples(micro, queries, tmp_path, 1, log, **FAST)
    names = [path.name for path in files[::2]]
    assert names[:2] == ["01-etc-con.wav", "02-sound.wav"]
    assert names[2].startswith("03-día-日日日")
    assert len(names[2].encode()) <= 70
