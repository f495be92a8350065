"""Results as tables and files, and the paper's numbers."""

import csv
import json
from dataclasses import replace

import pytest

from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.evaluation.results import (
    COLUMNS,
    Results,
    Sample,
    ScoreRow,
    write_csv,
    write_json,
)
from clipsonic_cli.listening.trials import trials_of
from clipsonic_cli.report import paper
from clipsonic_cli.report.tables import table_of
from clipsonic_cli.types import Query, Score


def score(metric, value, *, better="lower", as_paper=True, **more):
    numbers = {"n": 512, "rows": 2048, "against": 2048, "sample_rate": 16_000, "seconds": 4.0}
    backbone = "vggish" if as_paper else "mini"
    return Score(
        metric=metric,
        value=value,
        better=better,
        backbone=backbone,
        as_paper=as_paper,
        **numbers | more,
    )


@pytest.fixture
def results(tmp_path):
    rows = (
        ScoreRow(
            system="pd",
            guidance=1.5,
            scores=(
                score("fad", 3.5, interval=(3.25, 3.75), notes=("few windows.",)),
                score("fad-infinity", 3.0),
                score("clap", 0.25, better="higher", as_paper=False),
            ),
        ),
        ScoreRow(system="zs", scores=(score("similarity", 0.2, better="higher"),)),
        ScoreRow(
            system="reconstruction", scores=(score("clap-windows-max", 0.3, better="higher"),)
        ),
    )
    sample = Sample(name="a", prompt="rain", paths={"pd w=1.5": tmp_path / "sounds" / "a.wav"})
    settings = {"model": "mine", "vocoder": "bigvgan", "reference": "somewhere"}
    return Results(name="mine", rows=rows, samples=(sample,), settings=settings, notes=("odd",))


def cells(table, row):
    return dict(zip(table.columns, table.rows[row], strict=True))


def test_table_1_has_the_papers_numbers_next_to(results):
    table = table_of(results, 1)
    row = cells(table, 0)
    assert row["fad ↓"] == "3.50 (3.25 to 3.75)"
    assert row["clap[mini] ↑"] == "0.250"
    assert (row["paper: VGGSound FAD"], row["paper: MUSIC CLAP"]) == ("3.04", "0.254")
    assert any("compare with none" in note for note in table.notes)
    assert cells(table, 2)["model"] == "mel spectrogram reconstruction (bigvgan)"


def test_systems_of_several_models_have_their_names_and_the_papers_numbers(results, tmp_path):
    rows = tuple(replace(results.rows[0], system=f"{m} pd", model=m) for m in ("a", "b"))
    several = replace(results, rows=rows)
    table = table_of(several, 1)
    named = [cells(table, n)["model"] for n in range(2)]
    assert named == [f"{m}: {paper.TITLES['pd']}" for m in ("a", "b")]
    assert [cells(table, n)["paper: VGGSound FAD"] for n in range(2)] == ["3.04", "3.04"]
    write_csv(several, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        written = [(row["system"], row["model"]) for row in csv.DictReader(file)]
    assert {*written} == {("a pd", "a"), ("b pd", "b")}


def test_a_line_of_csv_names_the_one_model(results, tmp_path):
    one = replace(results, settings={**results.settings, "model": "mini"})
    write_csv(one, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"mini"}


@pytest.mark.parametrize(
    ("asked", "heads"),
    [
        (["clap:mini"], ["clap[mini] ↑", "paper: VGGSound CLAP", "paper: MUSIC CLAP"]),
        (["fad:vggish"], ["fad ↓", "paper: VGGSound FAD", "paper: MUSIC FAD"]),
    ],
)
def test_table_1_has_columns_of_what_was_requested_alone(results, asked, heads):
    settings = {**results.settings, "metrics": asked}
    table = table_of(replace(results, settings=settings), 1)
    assert [name for name in table.columns if name not in ("model", "w", "n", "Hz", "s")] == heads


def test_what_was_requested_and_has_no_score_is_shown_empty(results):
    settings = {**results.settings, "metrics": ["fad:vggish", "clap:clap"]}
    rows = (ScoreRow(system="pd", scores=(score("clap", 0.2, better="higher"),)),)
    table = table_of(replace(results, rows=rows, settings=settings), 1)
    assert (cells(table, 0)["fad"], cells(table, 0)["clap ↑"]) == ("-", "0.200")


@pytest.mark.parametrize(("least", "said"), [(0.3, True), (0.2, False)])
def test_windows_of_which_each_sound_has_one_are_said_to_tell_nothing(results, least, said):
    values = {"max": 0.3, "mean": 0.3, "min": least}
    scores = [score(f"clap-windows-{end}", at, better="higher") for end, at in values.items()]
    rows = (*results.rows, ScoreRow(system="reconstruction", scores=tuple(scores)))
    notes = table_of(replace(results, rows=rows), 5).notes
    assert any(note.startswith("No sound of reconstruction has room") for note in notes) is said


def test_a_column_holds_scores_of_one_network(results):
    own, other = score("fad", 3.5), score("fad", 0.1, as_paper=False)
    rows = (ScoreRow(system="zs", scores=(other,)), ScoreRow(system="pd", scores=(own, other)))
    table = table_of(replace(results, rows=rows), 1)
    assert [cells(table, row)["fad ↓"] for row in (0, 1)] == ["-", "3.50"]
    assert "By other networks, and in the report alone: fad[mini]" in table.notes


def test_windows_and_whole_sounds_are_of_one_network(results):
    scores = (
        score("clap-windows-max", 0.1, better="higher", as_paper=False),
        score("clap", 0.2, better="higher"),
    )
    table = table_of(replace(results, rows=(ScoreRow(system="reconstruction", scores=scores),)), 5)
    assert [row[3] for row in table.rows] == ["0.200"]


def test_the_papers_numbers_stand_next_to_modes_at_its_w_alone(results):
    fad = (score("fad", 3.5),)
    rows = tuple(ScoreRow(system="pd", guidance=w, scores=fad) for w in (1.0, 1.5))
    table = table_of(replace(results, rows=rows), 1)
    assert [cells(table, row)["paper: VGGSound FAD"] for row in (0, 1)] == ["-", "3.04"]


@pytest.mark.parametrize("system", ["pd", "reconstruction"])
def test_a_folder_of_a_modes_name_is_no_mode(results, system):
    rows = (
        ScoreRow(system=system, scores=(score("fad", 3.5), score("clap", 0.2, better="higher"))),
    )
    folder = replace(results, settings={"generated": ["a/pd"]}, rows=rows)
    for number in (1, 5):
        table = table_of(folder, number)
        assert table.rows[0][0] == system
        assert not [name for name in table.columns if name.startswith("paper")]
        assert not [note for note in table.notes if "The paper's" in note]


def test_table_5_has_the_papers_numbers_of_reconstructions_alone(results):
    clap = (score("clap", 0.2, better="higher"),)
    rows = (
        ScoreRow(system="pd", guidance=1.5, scores=clap),
        ScoreRow(system="reconstruction", scores=clap),
    )
    table = table_of(replace(results, rows=rows), 5)
    assert [cells(table, row)["paper: VGGSound"] for row in (0, 1)] == ["-", "0.204"]


def test_sizes_are_those_of_the_scores_that_are_shown(results):
    scores = (score("kad", 1.0, n=9), score("fad", 1.0), score("clap", 0.1, better="higher", n=500))
    table = table_of(replace(results, rows=(ScoreRow(system="pd", scores=scores),)), 1)
    assert cells(table, 0)["n"] == "512, 500"


def test_intervals_and_bias_are_explained_where_they_are_shown(results):
    def explained(**more):
        rows = (ScoreRow(system="pd", scores=(score("fad", 3.5, **more),)),)
        notes = " ".join(table_of(replace(results, rows=rows), None).notes)
        return ("95 % confidence intervals are of the mean" in notes, "Bias is" in notes)

    assert explained() == (False, False)
    assert explained(interval=(3.0, 4.0)) == (True, False)
    assert explained(bias=0.5) == (False, True)


def test_table_2_has_the_modes_with_vectors_alone(results):
    table = table_of(results, 2)
    assert len(table.rows) == 1
    assert cells(table, 0)["paper: VGGSound"] == "0.205"


def test_table_5_has_a_line_a_window(results):
    table = table_of(results, 5)
    row = cells(table, -1)
    assert (row["window size"], row["mode"], row["paper: MUSIC"]) == ("4.0 s", "max", "0.280")


def test_all_scores_say_what_is_needed_to_compare_them(results):
    table = table_of(results, None)
    row = cells(table, 2)
    assert (row["metric"], row["backbone"], row["n"], row["Hz"]) == (
        "clap[mini] ↑",
        "mini",
        "512",
        "16000",
    )
    assert "Compared with: somewhere" in table.notes
    assert "fad of pd: few windows." in table.notes


def test_there_is_no_table_7(results):
    with pytest.raises(ValueError, match="got 7"):
        table_of(results, 7)


def test_the_papers_numbers_say_what_its_text_says():
    for data in paper.DATASETS:
        fad = {system: row[data]["fad"] for system, row in paper.TABLE_1.items()}
        assert fad["iq"] < fad["pd"] < fad["zs"]
        assert fad["sd"] < fad["pd"]
        assert paper.TABLE_2["zs"][data] < paper.TABLE_2["pd"][data] < paper.TABLE_2["sd"][data]
        whole = paper.TABLE_1["reconstruction"][data]["clap"]
        assert paper.TABLE_5["clap"][data] == whole < paper.TABLE_5["clap-windows-max"][data]
    below = {
        (system, data)
        for system, row in paper.TABLE_1.items()
        for data in paper.DATASETS
        if row[data].get("clap", 1) < paper.TABLE_1["reconstruction"][data]["clap"]
    }
    assert below == {("pd", "MUSIC")}


def test_json_keeps_everything(results, tmp_path):
    write_json(results, tmp_path / "report.json")
    loaded = json.loads((tmp_path / "report.json").read_text())
    assert loaded["format"] == "clipsonic-eval/1"
    assert loaded["rows"][0]["scores"][2]["label"] == "clap[mini]"
    assert loaded["samples"][0]["paths"] == {"pd w=1.5": "sounds/a.wav"}
    assert (loaded["notes"], loaded["settings"]["vocoder"]) == (["odd"], "bigvgan")


def test_csv_has_a_line_a_score(results, tmp_path):
    write_csv(results, tmp_path / "report.csv", paper.columns(results))
    with (tmp_path / "report.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == (*COLUMNS, "paper_vggsound", "paper_music")
    assert [line[-2:] for line in lines[:3]] == [["3.04", "13.51"], ["", ""], ["0.265", "0.254"]]
    assert len(lines) == 5
    first = dict(zip(header, lines[0], strict=True))
    assert (first["value"], first["low"], first["guidance"]) == ("3.5", "3.25", "1.5")


def test_a_report_that_cannot_be_written_is_one_line(results, tmp_path):
    with pytest.raises(ClipsonicError, match="give another `output`"):
        write_json(results, tmp_path / "no" / "report.json")


def test_trials_are_the_same_queries_for_every_system(tmp_path):
    paths = {name: tmp_path / name for name in ("iq w=1.5", "pd w=1.5", "truth")}
    samples = [
        Sample(name=f"{n}", prompt=f"text {n}", image=tmp_path / "p.png", paths=paths)
        for n in range(6)
    ]
    samples.append(Sample(name="alone", prompt="x", paths={"truth": tmp_path / "truth"}))
    trials = trials_of(Results(name="x", samples=tuple(samples)), 3)
    assert {name: len(some) for name, some in trials.items()} == dict.fromkeys(paths, 3)
    requested = [[trial.prompt.text for trial in some] for some in trials.values()]
    assert requested == [["text 0", "text 2", "text 4"]] * 3


@pytest.mark.parametrize(
    ("systems", "prompt"), [(("iq w=1", "truth"), "text"), (("ours", "theirs"), None)]
)
def test_images_are_shown_where_nobody_was_asked_in_words(tmp_path, systems, prompt):
    picture = tmp_path / "p.png"
    sample = Sample(name="a", prompt=prompt, image=picture, paths=dict.fromkeys(systems, tmp_path))
    trials = trials_of(Results(name="x", samples=(sample,)), 1)
    assert {trial.prompt for (trial,) in trials.values()} == {Query(image=picture)}


@pytest.mark.parametrize(
    ("count", "labels"), [(2, "ab"), (4, "aabc"), (5, "aabbc"), (9, "aaaabbc")]
)
def test_trials_are_spread_over_labels(tmp_path, count, labels):
    samples = [
        Sample(name=f"{n}", prompt=label, paths={"x": tmp_path / f"{n}"})
        for n, label in enumerate("aaaabbc")
    ]
    (trials,) = trials_of(Results(name="x", samples=tuple(samples)), count).values()
    assert "".join(sorted(trial.prompt.text for trial in trials)) == labels
    assert len({trial.sound for trial in trials}) == len(trials)


def test_the_kind_of_prompt_does_not_tell_whose_a_sound_is(tmp_path):
    sample = Sample(
        name="a", prompt="x", image=tmp_path / "p.png", paths={"a": tmp_path, "b": tmp_path}
    )
    trials = trials_of(Results(name="x", samples=(sample,)), 1)
    assert {trial.prompt for (trial,) in trials.values()} == {Query(text="x")}
