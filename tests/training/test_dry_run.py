"""What a dry run says of a training, next to what the training then does."""

import dataclasses
from pathlib import Path

import pytest
import torch
from make_media import put
from small_videos import write_videos

from clipsonic_cli.training import text_parts
from clipsonic_cli.training.dry_run import dry_run
from clipsonic_cli.training.request import Source, TrainCallbacks, TrainRequest
from clipsonic_cli.training.run import begin
from clipsonic_cli.training.run_config import read_run_config

CPU = torch.device("cpu")
LOOP = {"batch_size": 1, "steps": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def request_of(micro, tmp_path_factory):
    """Return a function that builds a request for a data set; all share a home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPSONIC_HOME", str(tmp_path_factory.mktemp("home")))
        runs = tmp_path_factory.mktemp("runs")

        def request_of(data, name="planned", **wanted):
            usual = {"base": str(micro), "warm_start": str(micro), "sample_every": 0}
            source = Source(data=str(data), workers=0, seed=3)
            return TrainRequest(
                source=source, name=name, out=runs / name, train=LOOP, **(usual | wanted)
            )

        yield request_of


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Twelve videos, one that cannot be read, and a file that is no video."""
    folder = write_videos(tmp_path_factory.mktemp("data") / "pets", 12)
    put(folder / "broken.mp4", b"nonsense")
    put(folder / "notes.txt", b"words")
    return folder


@pytest.fixture(scope="module")
def trained(request_of, videos):
    """A dry run, then the training: what was foreseen, the survey, and the run's folder."""
    request, surveys = request_of(videos), []
    foreseen = dry_run(request, device=CPU)
    assert not request.run_dir.exists()
    begin(request, device=CPU, callbacks=TrainCallbacks(on_survey=surveys.append))
    return foreseen, surveys[0], request.run_dir


def test_a_dry_run_foresees_what_the_training_finds(trained, request_of, videos):
    foreseen, found, run_dir = trained
    data = foreseen.data
    assert (data.clips, data.unprepared) == (found.found, 13) == (13, 13)
    assert data.labels == found.labels
    assert set(data.left_out) == set(found.left_out) == {"notes.txt"}
    assert data.hours == pytest.approx(found.hours, rel=0.2)
    assert foreseen.config.train == read_run_config(run_dir).train
    assert (foreseen.text_parts, foreseen.text_share) == ([], 0.1)
    # And nothing of it is left to prepare but what cannot be.
    again = dry_run(request_of(videos, "again"), device=CPU)
    assert again.data.unprepared == 1
    assert again.data.splits == data.splits


def test_parts_for_texts_come_to_the_steps(request_of, videos, monkeypatch):
    monkeypatch.setattr(text_parts, "HELD_OUT", 1)
    request = dataclasses.replace(request_of(videos, "texts"), text_share=0.2)
    foreseen = dry_run(request, device=CPU)
    assert foreseen.text_parts == ["bridge", "prior-sd"]
    assert foreseen.train_seconds == pytest.approx(foreseen.pace * LOOP["steps"] / 0.6)


def test_the_nearer_end_counts(request_of, videos):
    long = dataclasses.replace(request_of(videos, "long"), train=LOOP | {"steps": 10**6})
    timed = dry_run(long, device=CPU, minutes=2)
    assert timed.train_seconds == 120 < timed.pace * 10**6
    assert timed.train_bytes > 0


def test_clips_that_were_prepared_are_counted_exactly(trained, request_of):
    catalogue = read_run_config(trained[2]).catalogue
    data = dry_run(request_of(catalogue, "second"), device=CPU).data
    assert (data.clips, data.unprepared, data.sample) == (12, 0, None)
    assert sum(data.splits.values()) == sum(data.labels.values()) == 12


def test_a_data_set_of_which_nothing_can_be_used_is_described(request_of, tmp_path):
    put(tmp_path / "bad" / "bad.mp4", b"nonsense")
    nothing = dry_run(request_of(tmp_path / "bad", "nothing"), device=CPU)
    assert (nothing.data.sample.kept, nothing.data.hours, nothing.pace) == (0, 0, None)
    assert nothing.data.sample.flaws["unreadable"] == 1


def test_what_is_missing_is_said_with_the_rest(request_of, videos):
    lacking = dry_run(request_of(videos, "lacking", base="published"), device=CPU)
    assert "clipsonic download --for train" in lacking.missing
    assert (lacking.data.clips, lacking.pace, lacking.train_bytes) == (13, None, None)
    assert not Path(lacking.run_dir).exists()
