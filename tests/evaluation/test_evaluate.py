"""Folders of sounds, scored: known answers."""

import json
import re

import pytest
import soundfile
import torch

from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.evaluation import backbones
from clipsonic_cli.evaluation.evaluate import EvalCallbacks, evaluate
from clipsonic_cli.evaluation.plan import EvalRequest
from clipsonic_cli.evaluation.results import write_json
from clipsonic_cli.evaluation.sources import Folders
from clipsonic_cli.metrics import BACKBONES
from clipsonic_cli.report.score_tables import score_tables
from clipsonic_cli.report.tables import all_scores

CPU = torch.device("cpu")


@pytest.fixture
def run(fakes, tmp_path):
    """Evaluate folders and return the results."""

    def run(*folders, metrics=("fad",), prompts=None, messages=None, **more):
        source = Folders(folders=folders, prompts=prompts)
        request = EvalRequest(
            name="x", out=tmp_path / "out", metrics=metrics, source=source, **more
        )
        callbacks = EvalCallbacks(on_message=[].append if messages is None else messages.append)
        return evaluate(request, device=CPU, callbacks=callbacks)

    return run


@pytest.fixture
def truth(fakes, tmp_path):
    return fakes.write_sounds(tmp_path / "truth", 16)


def test_a_folder_against_itself_is_at_no_distance(run, truth):
    [row] = run(truth, reference=truth).rows
    score = row.score("fad")
    assert (row.system, row.guidance) == ("truth", None)
    assert score.value == pytest.approx(0, abs=1e-9)
    assert (score.n, score.rows, score.label, score.sample_rate) == (16, 64, "fad[mini]", 16_000)


def test_what_is_compared_with_itself_shows_no_bias_and_says_so(run, truth, fakes, tmp_path):
    noisy = fakes.write_sounds(tmp_path / "noisy", 16, snr=0)
    shared = tmp_path / "shared"
    shared.mkdir()
    for path in [*truth.iterdir()][:12] + [*noisy.iterdir()][12:]:
        (shared / path.name).symlink_to(path)
    same, some, other = run(truth, shared, noisy, metrics=("fad", "kad"), reference=truth).rows
    for row, count in ((same, 16), (some, 12)):
        assert {score.bias for score in row.scores} == {None}
        assert all(f"{count} of 16 files are among those" in s.notes[-1] for s in row.scores)
    assert other.score("fad").bias > 0
    assert not any("are among those" in note for s in other.scores for note in s.notes)


@pytest.mark.parametrize("name", ["reference", "truth"])
def test_a_folder_may_have_any_name(run, truth, fakes, tmp_path, name):
    noisy = fakes.write_sounds(tmp_path / "in" / name, 16, snr=0)
    assert run(noisy, reference=truth).rows[0].score("fad").value > 0.01


def test_scores_of_the_papers_own_network_have_no_brackets(run, truth, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "vggish", "fake_backbones:PaperBackbone")
    monkeypatch.setattr(backbones, "is_here", lambda name: name != "clap")
    results = run(truth, metrics=("fad", "clap", "fad:mini"), reference=truth)
    labels = [score.label for score in results.rows[0].scores]
    assert labels == ["fad", "fad-infinity", "clap[mini]", "fad[mini]", "fad-infinity[mini]"]
    assert results.notes[0].endswith("clipsonic download clap")


def test_noise_raises_the_distance(run, truth, fakes, tmp_path):
    noisy = [fakes.write_sounds(tmp_path / f"{snr} dB", 16, snr=snr) for snr in (20, 10, 0)]
    results = run(truth, *noisy, metrics=("fad", "kad"), reference=truth)
    for metric in ("fad", "kad"):
        values = [row.score(metric).value for row in results.rows]
        assert values == sorted(values)
        assert values[-1] > values[-2] > values[0]


def test_swapped_prompts_lower_the_clap_score(run, fakes, tmp_path):
    folder = tmp_path / "tones"
    folder.mkdir()
    texts = ["rain", "a dog", "violin"]
    for text in texts:
        hz = fakes.pitch(text)
        samples = torch.sin(2 * torch.pi * hz * torch.arange(16_000) / 16_000) / 2
        soundfile.write(folder / f"{text}.wav", samples.numpy(), 16_000)
    values = []
    for shift in (0, 1):
        rows = [f"{text},{texts[(n + shift) % 3]}" for n, text in enumerate(texts)]
        (tmp_path / "p.csv").write_text("\n".join(["file,prompt", *rows]))
        [row] = run(folder, metrics=("clap",), prompts=tmp_path / "p.csv").rows
        values.append(row.score("clap").value)
    assert values[0] == pytest.approx(1, abs=0.02)
    assert values[1] < values[0] - 0.01


TEXTS = ("blue triangle", "red circle", "green square", "yellow star")


def tones(fakes, folder, texts):
    """Write three tones for each of TEXTS, of the pitch of the text at its place."""
    folder.mkdir()
    for n, (text, sounds_like) in enumerate([*zip(TEXTS, texts, strict=True)] * 3):
        hz = fakes.pitch(sounds_like)
        samples = torch.sin(2 * torch.pi * hz * torch.arange(16_000) / 16_000) / 2
        soundfile.write(folder / f"{text}-{n}.wav", samples.numpy(), 16_000)
    return folder


@pytest.fixture
def strange(fakes, tmp_path):
    """Folders: one as its labels, one not; and the real sounds, which fit each other's labels."""
    other = TEXTS[1:] + TEXTS[:1]
    return [tones(fakes, tmp_path / f"{n}", t) for n, t in enumerate((TEXTS, other, other))]


def test_scores_by_labels_that_the_network_does_not_know_order_no_systems(run, strange):
    *made, truth = strange
    results = run(*made, metrics=("fad", "clap"), reference=truth)
    assert [row.score("fad").ranks for row in results.rows] == [True, True]
    assert [row.score("clap").ranks for row in results.rows] == [False, False]
    found = results.label_checks["mini"]
    assert (found["known"], found["check"]["labels"], found["check"]["sounds"]) == (False, 4, 12)
    assert found["check"]["own"] < found["check"]["swapped"]
    [note] = [note for note in results.notes if "no system is marked as the best" in note]
    assert note.startswith("clap[mini]: ")
    assert "real sounds score" in note
    assert re.search(r"orders no systems: real sounds score -?0\.\d+ with", note.brief)
    html = score_tables(run(*made, metrics=("clap",), reference=truth))
    assert "clap[mini] ?<small>orders no systems" in html
    assert "★" not in html
    assert "clap[mini] ?" in {row[2] for row in all_scores(results).rows}


def test_scores_by_labels_that_the_network_knows_do(run, strange):
    truth, *made = strange
    results = run(*made, metrics=("clap",), reference=truth)
    assert all(row.score("clap").ranks for row in results.rows)
    assert results.label_checks["mini"]["known"]
    assert "★" in score_tables(results)
    assert not any("no system" in note for note in results.notes)


def test_nobody_asked_for_a_score_that_orders_no_systems(run, strange):
    *made, truth = strange
    results = run(*made, metrics=("fad", "clap"), reference=truth, metrics_named=False)
    assert {s.metric for row in results.rows for s in row.scores} == {"fad", "fad-infinity"}
    assert results.settings["metrics"] == ["fad:mini"]
    assert any("clap[mini] left out, as its network does not know" in n for n in results.notes)
    alone = run(*made, metrics=("clap",), reference=truth, metrics_named=False)
    assert [row.score("clap").ranks for row in alone.rows] == [False, False]


@pytest.mark.parametrize(
    ("labels", "reference", "known", "why"),
    [
        (["violin", "dog"], False, True, "was trained on these labels"),
        (["violin", "spaceship"], False, None, "'spaceship', was not checked: no true sounds"),
        (["spaceship"], True, None, "all true sounds have one label"),
    ],
)
def test_what_cannot_be_checked_is_said(run, fakes, tmp_path, labels, reference, known, why):
    folder = tmp_path / "made"
    for label in labels:
        fakes.write_sounds(folder, 4, name=f"{label}-{{}}")
    more = {"reference": folder} if reference else {}
    results = run(folder, metrics=("clap",), **more)
    found = results.label_checks["mini"]
    assert (found["known"], found["ranks"]) == (known, bool(known))
    assert why in found["why"]
    assert any(why in note for note in results.notes) == (not known)


def test_sounds_are_shown_next_to_the_true_ones_of_their_names(run, truth, fakes, tmp_path):
    noisy = fakes.write_sounds(tmp_path / "noisy", 17, snr=10)
    samples = run(noisy, reference=truth).samples
    assert [set(sample.paths) for sample in samples].count({"noisy"}) == 1
    beside = [sample for sample in samples if "truth" in sample.paths]
    assert len(beside) == 16
    assert all(s.paths["truth"] == truth / s.paths["noisy"].name for s in beside)


def test_saved_statistics_stand_for_the_folder(run, truth, fakes, tmp_path):
    noisy = fakes.write_sounds(tmp_path / "noisy", 16, snr=10)
    stats = tmp_path / "s.npz"
    assert run(reference=truth, save_stats=stats).rows == ()
    [by_folder], [by_stats] = (run(noisy, reference=r).rows for r in (truth, stats))
    assert by_stats.score("fad").value == pytest.approx(by_folder.score("fad").value, rel=1e-9)
    assert by_stats.outliers == pytest.approx(by_folder.outliers)


def test_the_farthest_sounds_are_named(run, truth, tmp_path, fakes):
    made = fakes.write_sounds(tmp_path / "made", 16)
    high = torch.sin(2 * torch.pi * 900 * torch.arange(16_000) / 16_000)
    soundfile.write(made / "odd.wav", high.numpy() / 2, 16_000)
    [row] = run(made, reference=truth).rows
    assert next(iter(row.outliers)) == "odd"
    assert len(row.outliers) == 10


def test_every_sound_that_could_not_be_scored_is_kept_with_its_reason(run, fakes, tmp_path):
    made, truth = (fakes.write_sounds(tmp_path / name, 12) for name in ("made", "reference"))
    for n in range(5):
        (made / f"broken-{n}.wav").write_bytes(b"RIFF")
    soundfile.write(truth / "brief.wav", torch.zeros(100).numpy(), 16_000)
    results = run(made, reference=truth)
    write_json(results, tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    reason = "Format not recognised"
    assert report["rows"][0]["left_out"] == {f"broken-{n}": reason for n in range(5)}
    assert report["left_out_of_reference"] == {"brief": "too short for 'mini'"}


def test_what_has_nothing_to_compare_with_is_left_out_and_said(run, truth):
    messages = []
    results = run(truth, metrics=("fad", "clap"), messages=messages)
    assert [score.metric for score in results.rows[0].scores] == ["clap"]
    assert "fad[mini] left out: there are no true sounds" in results.notes[0]
    assert results.settings["metrics"] == ["fad:mini", "clap:mini"]
    assert messages == list(results.notes)


def test_ratings_need_nothing_to_compare_with(run, truth, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "audiobox", "fake_backbones:FakeRatings")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    [row] = run(truth, metrics=("aes",)).rows
    assert [score.label for score in row.scores] == ["aes-pq", "aes-pc", "aes-ce", "aes-cu"]
    assert {(score.n, score.rows) for score in row.scores} == {(16, 16)}


def test_similarity_of_folders_is_left_out_where_there_are_other_metrics(run, truth):
    results = run(truth, metrics=("clap", "similarity"))
    assert [score.metric for score in results.rows[0].scores] == ["clap"]
    assert "similarity left out: scores of a model's queries" in results.notes[-2]
    with pytest.raises(UsageError, match="give `model` and `data`"):
        run(truth, metrics=("similarity",))


def test_a_reference_of_which_no_sound_is_of_use_is_named_as_such(run, truth, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(UsageError, match="Of the reference: No sound can be scored"):
        run(truth, reference=tmp_path / "broken")


def test_a_metric_that_takes_no_statistics_is_left_out(run, truth, tmp_path):
    stats = tmp_path / "s.npz"
    run(reference=truth, save_stats=stats)
    results = run(truth, metrics=("fad", "kad"), reference=stats)
    assert [score.metric for score in results.rows[0].scores] == ["fad", "fad-infinity"]
    assert "kad[mini] of truth is left out" in results.notes[-1]


def test_taggers_tell_the_prompts_apart(run, truth, tmp_path):
    prompts = "\n".join(f"dog-{n},{'rain' if n % 2 else 'violin'}" for n in range(16))
    (tmp_path / "p.csv").write_text(f"file,prompt\n{prompts}\n")
    metrics, csv = ("kl", "accuracy"), tmp_path / "p.csv"
    [row] = run(truth, metrics=metrics, reference=truth, prompts=csv).rows
    assert row.score("kl").value == pytest.approx(0, abs=1e-9)
    assert 0 <= row.score("accuracy").value <= 1


def test_classes_are_a_systems_own_prompts_whoever_else_is_scored(run, fakes, tmp_path):
    def folder(name, *kinds, **more):
        for kind in kinds:
            place = fakes.write_sounds(tmp_path / name, 4, name=f"{kind}-{{}}", **more)
        return place

    own = folder("own", "rain", "dog", snr=5)
    other = folder("other", "photo of rain", "photo of dog")
    reference = folder("all", "rain", "dog", "photo of rain", "photo of dog")
    more = {"metrics": ("accuracy", "kl"), "reference": reference}
    alone, beside = run(own, **more).rows[0], run(own, other, **more).rows[0]
    assert beside == alone
    assert alone.score("accuracy").notes == ("One of 2 classes: 0.5 is chance.",)
    assert "2 classes" in alone.score("kl").notes[-1]


def test_a_networks_own_tagger_needs_no_prompts(run, fakes, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "panns", "fake_backbones:FakeTagger")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    truth = fakes.write_sounds(tmp_path / "truth", 8)
    noisy = [fakes.write_sounds(tmp_path / f"{snr}", 8, snr=snr) for snr in (20, 0)]
    metrics = ("kl:panns", "kad:panns", "is:panns")
    results = run(truth, *noisy, metrics=metrics, reference=truth)
    rows = results.rows
    labels = [score.label for score in rows[0].scores]
    values = [row.score("kl").value for row in rows]
    assert labels == ["kl[panns]", "kad[panns]", "is[panns]"]
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert 0 < values[1] < values[2]
    for name in ("kl", "is"):
        assert "Over the 8 classes that 'panns' knows." in rows[0].score(name).notes
    assert results.notes == ()  # where prompts would be from does not matter


def test_sounds_without_prompts_have_no_classes(run, truth, fakes, tmp_path):
    nameless = fakes.write_sounds(tmp_path / "nameless", 4, name="{}")
    results = run(truth, nameless, metrics=("fad", "accuracy"), reference=truth)
    assert any("accuracy[mini] of nameless is left out: Nothing says" in n for n in results.notes)


def test_what_sounds_are_compared_with_is_said_where_they_are(run, truth):
    for metrics, expected in ((("clap",), None), (("fad", "clap"), f"16 sounds of {truth}")):
        assert run(truth, metrics=metrics, reference=truth).settings["reference"] == expected


def test_the_weights_of_backbones_are_among_the_settings(run, truth, fakes):
    settings = run(truth, reference=truth).settings
    assert settings["backbones"] == {"mini": fakes.FakeBackbone().identity}


def test_one_sound_is_scored_with_a_warning(run, truth, fakes, tmp_path):
    one = fakes.write_sounds(tmp_path / "one", 1)
    [row] = run(one, reference=truth).rows
    assert row.score("fad").interval is None
    assert any("too few for an interval" in note for note in row.score("fad").notes)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"metrics": ("fad",)}, r"fad\[mini\] cannot be computed: there are no true sounds"),
        ({"metrics": ("similarity",)}, "of a model's queries"),
        ({"save_stats": "x.txt", "reference": "."}, "must end in .npz"),
        ({"save_stats": "no/x.npz", "reference": "."}, "There is no folder"),
        ({"metrics": ("clap",), "save_stats": "x.npz", "reference": "."}, "have 0 that take"),
        ({"metrics": ("clap",), "save_stats": "x.npz"}, "keeps the statistics of the true sounds"),
    ],
)
def test_what_cannot_be_is_rejected_before_any_network_is_read(
    run, truth, monkeypatch, more, reason
):
    from clipsonic_cli.evaluation import scoring

    monkeypatch.setattr(scoring, "load", None)
    monkeypatch.chdir(truth.parent)
    paths = {
        name: truth.parent / more[name] for name in ("save_stats", "reference") if name in more
    }
    with pytest.raises(UsageError, match=reason):
        run(truth, **more | paths)


def test_two_folders_of_one_name_are_rejected(run, fakes, tmp_path):
    folders = [fakes.write_sounds(tmp_path / up / "same", 1) for up in "ab"]
    with pytest.raises(UsageError, match="Two folders are called 'same'"):
        run(*folders, reference=folders[0])


def test_a_folder_that_takes_no_files_is_rejected(run, truth, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ClipsonicError, match="give another `output`"):
        run(truth, reference=truth)
