"""The command as a person types it."""

import csv
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from small_videos import write_videos

from clipsonic_cli.cli import run
from clipsonic_cli.cli.parsing import repeated
from clipsonic_cli.evaluation.plan import SHIPPED
from clipsonic_cli.folder_lock import owned
from clipsonic_cli.listening.ratings import FORMAT

TESTS = Path(__file__).parents[1]


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Run the command in an empty folder and return exit code, stdout and stderr lines."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run(["eval", *map(str, arguments)])
        printed = capfd.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call


@pytest.fixture
def sets(call, fakes):
    """Folders of sounds here: "truth", and "made", with noise."""
    fakes.write_sounds(Path("truth"))
    fakes.write_sounds(Path("made"), snr=10)


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("data") / "pets", 4)


@pytest.fixture
def ask(call, fakes, micro, pets):
    def ask(*arguments):
        fast = ["--steps", 2, "--seconds", 0.6, "-n", 2, "--workers", 0, "--split", "train"]
        return call("--model", micro, "--data", pets, *fast, *arguments)

    return ask


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--m a b --x c", "--m a --m b --x c"),
        ("--m=a b", "--m=a --m b"),
        ("--m a --m b c", "--m a --m b --m c"),
        ("--x c d", "--x c d"),
        ("--m a -q b", "--m a -q b"),
        ("a --m", "a --m"),
    ],
)
def test_words_after_an_option_of_several_belong_to_it(typed, read):
    assert repeated(typed.split(), {"--m"}) == read.split()


def test_folders_are_scored_in_a_table_and_in_reports(call, sets):
    code, out, err = call("--metrics", "fad", "clap", "--generated", "made", "--reference", "truth")
    assert code == 0
    assert any("fad[mini] ↓" in line and "made" in line for line in out)
    assert err[-1] == "report: eval/made/report.html, eval/made/report.json, eval/made/report.csv"
    report = json.loads(Path("eval/made/report.json").read_text())
    assert [score["label"] for score in report["rows"][0]["scores"]] == [
        *("fad[mini]", "fad-infinity[mini]", "clap[mini]")
    ]
    with Path("eval/made/report.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["metric"] == "fad[mini]"


def test_json_is_an_object_a_system(call, sets):
    truth = ["--reference", "truth", "--metrics", "fad"]
    code, out, _ = call("--generated", "made", "truth", *truth, "--json")
    noisy, same = map(json.loads, out)
    assert (code, noisy["system"], same["system"]) == (0, "made", "truth")
    assert noisy["scores"][0]["value"] > same["scores"][0]["value"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("width", "left_out"), [(60, True), (80, True), (200, False)])
def test_a_terminal_shows_every_number_whole(call, sets, monkeypatch, width, left_out):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")  # to Rich, this is a terminal
    _, out, err = call("--metrics", "fad", "clap", "--generated", "made", "--reference", "truth")
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in out]
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    for score in json.loads(Path("eval/made/report.json").read_text())["rows"][0]["scores"]:
        digits = 3 if score["metric"] == "clap" else 4
        for number in (score["value"], *score["interval"]):
            assert any(f"{number:.{digits}f}" in line.split() for line in lines)
    said = "the columns windows, against, backbone, Hz, s in the report: eval/made/report.html"
    assert any(said in line for line in err) == left_out
    assert any("16000" in line for line in lines) != left_out


def test_quiet_says_nothing_but_the_table(call, sets):
    code, out, err = call("--generated", "made", "--reference", "truth", "-q", "-o", "there")
    assert (code, err) == (0, [])
    assert out
    assert Path("there/report.csv").is_file()


@pytest.fixture
def asked(call, micro, pets, monkeypatch):
    """Return what an evaluation of a model is asked for, and evaluate nothing."""
    from clipsonic_cli.evaluation import evaluate as evaluation
    from clipsonic_cli.evaluation.results import Results

    requests = []

    def evaluate(request, **_):
        requests.append(request)
        return Results(name=request.name)

    monkeypatch.setattr(evaluation, "evaluate", evaluate)

    def asked(*arguments):
        assert call("--model", micro, "--data", pets, *arguments)[0] == 0
        source = requests[-1].source
        recipe = source.recipe
        return recipe.sampler, recipe.steps, source.dtype, recipe.seconds, source.clip_seconds

    return asked


def test_notes_in_reports_name_options(call, micro, pets, monkeypatch):
    from clipsonic_cli.evaluation import evaluate as evaluation
    from clipsonic_cli.evaluation.results import Results, ScoreRow

    rows, notes = (ScoreRow(system="pd", scores=()),), ("no images; give `data`, `unknown`",)
    results = Results(name="x", rows=rows, notes=notes)
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: results)
    assert call("--model", micro, "--data", pets, "-o", "report")[0] == 0
    saved = json.loads(Path("report/report.json").read_text())
    assert saved["notes"] == ["no images; give --data, `unknown`"]


def test_the_papers_preset_samples_as_the_paper_does(asked):
    paper = ("ddpm", 1000, "float32", 4.0, 10.0)
    for table in (1, 2, 5):
        assert asked("--preset", "paper", "--table", table) == paper
    assert asked("--preset", "paper") == paper
    assert asked("--table", 1) == ("unipc", 8, "auto", 4.0, None)


def test_options_come_before_the_preset(asked):
    given = ["--steps", 7, "--dtype", "bfloat16", "--seconds", 2, "--clip-seconds", 5]
    assert asked("--preset", "paper", *given) == ("ddpm", 7, "bfloat16", 2.0, 5.0)
    assert asked("--preset", "paper", "--sampler", "ddim")[:2] == ("ddim", 50)


def test_a_report_of_the_papers_preset_says_what_is_still_different(ask):
    code, _, err = ask("--preset", "paper", "--table", 1, "--modes", "iq", "--output", "paper")
    assert code == 0
    assert any(
        "not as in the paper: 2 steps of ddpm instead of 1000 of ddpm" in line for line in err
    )
    report = json.loads(Path("paper/table-1.json").read_text())
    settings, notes = report["settings"], " ".join(report["notes"])
    assert "Sounds made by ddpm in 2 steps, float32, 0.6 s each; reconstructions of 2.2 s" in notes
    assert "Not as in the paper: 2 steps of ddpm instead of 1000 of ddpm" in notes
    assert (settings["sampler"], settings["dtype"], settings["clip_seconds"]) == (
        *("ddpm", "float32"),
        10.0,
    )


def test_statistics_are_kept_and_used(call, sets):
    code, out, err = call("--reference", "truth", "--save-stats", "t.npz", "--metrics", "fad")
    assert (code, out, err[-1]) == (0, [], "statistics: t.npz")
    values = []
    for truth in ("truth", "t.npz"):
        _, out, _ = call("--generated", "made", "--reference", truth, "--metrics", "fad", "--json")
        values.append(json.loads(out[0])["scores"][0]["value"])
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_a_model_is_scored_in_every_mode_requested(ask):
    how = ("--mode", "iq", "zs", "--guidance", 1, 2, "--guidance-rule", "rising")
    code, out, _ = ask(*how, "--metrics", "fad", "--json")
    rows = [(row["system"], row["guidance"]) for row in map(json.loads, out)]
    assert code == 0
    assert rows == [("iq", 1), ("iq", 2), ("zs", 1), ("zs", 2), ("reconstruction", None)]
    assert len(list(Path("eval/micro/sounds").glob("micro-zs-w2-rising-train-n2-*/*.wav"))) == 2


@pytest.mark.parametrize(
    ("number", "seen"),
    [(1, "paper: MUSIC FAD"), (2, "similarity[micro-clip] ↑"), (5, "clap[mini] ↑")],
)
def test_a_table_of_the_paper_has_its_numbers_next_to(ask, number, seen):
    code, out, err = ask("--table", number)
    assert code == 0
    assert seen in out[0].split("\t")
    assert len({line.count("\t") for line in out}) == 1
    assert any(f"in the report: eval/micro/table-{number}.html" in line for line in err)
    assert Path(f"eval/micro/table-{number}.json").is_file()
    assert (
        f"<h1>Table {number} of micro</h1>" in Path(f"eval/micro/table-{number}.html").read_text()
    )
    with Path(f"eval/micro/table-{number}.csv").open(newline="") as file:
        theirs = [row["paper_vggsound"] for row in csv.DictReader(file)]
    assert {1: "3.43", 2: "0.205", 5: "0.204"}[number] in theirs


def test_figure_3_is_written_in_two_forms(ask):
    code, _, err = ask("--figure", 3, "--modes", "zs", "--guidance", 1, 2, "--metrics", "clap")
    assert code == 0
    assert err[-1] == "figure: eval/micro/figure-3.svg, eval/micro/figure-3.png"
    assert "clap[mini]" in Path("eval/micro/figure-3.svg").read_text()
    with Image.open("eval/micro/figure-3.png") as picture:
        assert picture.width > picture.height


def test_a_table_and_a_listening_test_are_both_made(ask):
    code, out, _ = ask("--table", 2, "--listening-test", "test", "--trials", 1, "--modes", "zs")
    assert code == 0
    assert ("similarity" in out[0], out[-1]) == (True, "test/index.html")
    assert Path("eval/micro/table-2.json").is_file()
    assert json.loads(Path("test-key.json").read_text())["systems"][0] == "zs w=1.5"


def test_a_listening_test_goes_out_and_comes_back(ask, call):
    code, (page,), _ = ask("--listening-test", "test", "--trials", 2, "--modes", "zs")
    assert (code, page) == (0, "test/index.html")
    assert not Path("eval/micro/report.json").exists()
    key = json.loads(Path("test-key.json").read_text())
    assert key["systems"] == ["zs w=1.5", "reconstruction", "truth"]
    for rater in ("Ann", "Bob"):
        answers = {name: {"fidelity": 4, "relevance": 2} for name in key["samples"]}
        result = {"format": FORMAT, "test": key["test"], "rater": rater, "answers": answers}
        Path(f"{rater}.json").write_text(json.dumps(result))
    # As "*.json" would be, with the key next to what raters sent back.
    files = ["--ratings", "Ann.json", "Bob.json", "test-key.json", "--key", "test-key.json"]
    code, out, _ = call(*files)
    assert code == 0
    assert any("zs w=1.5\tfidelity\t4.00\t-\t2" in line and "2.55" in line for line in out)
    code, out, err = call(*files, "--output", "scores", "--markdown")
    assert (code, out[0]) == (0, "Listening test: mean opinion scores, 1 to 5")
    assert err[-1] == "report: scores/mos.html, scores/mos.json, scores/mos.csv"
    code, out, _ = call(*files, "--json")
    assert json.loads(out[0])["ratings"]["value"] == 4


@pytest.mark.parametrize(
    ("form", "title", "row"),
    [
        ("--markdown", "Table 2. Cosine", "| CLIPSonic-ZS"),
        ("--latex", "% Table 2. Cosine", "CLIPSonic"),
    ],
)
def test_a_table_is_printed_in_another_form(ask, form, title, row):
    code, out, _ = ask("--table", 2, "--modes", "zs", form)
    assert code == 0
    assert out[0].startswith(title)
    assert any(line.startswith(row) and "0.205" in line for line in out)


BAD = [
    (["fad"], 2, "fad belongs to no option"),
    (["--generated", "nowhere"], 2, "'nowhere' does not exist"),
    (["--generated", "empty"], 2, "holds no sounds"),
    (["--generated", "made", "--metrics", "fad"], 2, "no true sounds"),
    (["--generated", "made", "--reference", "made", "--metrics", "fadd"], 2, "Did you mean 'fad'"),
    (["--generated", "made", "--reference", "made", "--metrics", "fad:x"], 2, "Unknown backbone"),
    (["--generated", "made", "--metrics", "clap:clap"], 3, "clipsonic download clap"),
    (["--generated", "made", "--reference", "empty/x.npz"], 2, "holds no statistics"),
    (["--generated", "made", "--model", "mini"], 2, "--model has no meaning with --generated"),
    (["--generated", "made", "-n", "3"], 2, "--count has no meaning with --generated"),
    (["--generated", "made", "--prompts", "no.csv"], 2, "cannot be read"),
    (["--prompts", "no.csv"], 2, "give both"),
    (["--data", "nowhere"], 2, "no data at 'nowhere'"),
    (["--queries", "imagehear"], 2, "'--queries' requires 2 arguments"),
    (["--queries", "imagehere", "empty"], 2, "Did you mean 'imagehear'"),
    (["--queries", "imagehear", "nowhere"], 2, "'nowhere' does not exist; give the folder of"),
    (["--queries", "imagehear", "taken/key.json"], 2, "'taken/key.json' is a file; give"),
    (["--queries", "imagehear", "empty"], 2, "no image of ImageHear that can be used (it has no"),
    (["--queries", "imagehear", "empty", "-d", "x"], 2, "--data has no meaning with --queries"),
    (["--queries", "imagehear", "empty", "--metrics", "fad:mini"], 2, "no true sounds"),
    (["--queries", "imagehear", "empty", "--generated", "made"], 2, "with --generated"),
    (["--split", "tets"], 2, "Did you mean 'test'"),
    (["--modes", "iq", "x"], 2, "Unknown mode 'x'"),
    (["--guidance", "1", "much"], 2, "'much' is not a number"),
    (["--guidance", "1", "nan"], 2, "--guidance is nan"),
    (["--sampler", "ddin"], 2, "Did you mean 'dd"),
    (["--guidance-rule", "inter"], 2, "Did you mean 'interval'"),
    (["-n", "0"], 2, "--count is 0"),
    (["--trials", "0"], 2, "--trials is 0"),
    (["--workers", "-1"], 2, "--workers is -1"),
    (["--clip-seconds", "nan"], 2, "--clip-seconds is nan"),
    (["--seed", "-1"], 2, "--seed is -1"),
    (["--device", "tpu"], 2, "Unknown device"),
    (["--table", "1"], 2, "give --data"),
    (["--table", "4"], 2, "--listening-test DIR"),
    (["--table", "6"], 2, "Known: 1, 2, 5"),
    (["--preset", "papr", "-d", "."], 2, "Did you mean 'paper'"),
    (["--preset", "paper", "--generated", "."], 2, "--preset has no meaning with --generated"),
    (["--table", "2", "--metrics", "fad", "-d", "."], 2, "Table 2 has no column for fad;"),
    (["--table", "1", "--metrics", "kad:mini", "fad", "-d", "."], 2, "no column for kad:mini;"),
    (["--latex", "--json"], 2, "--latex and --json are given together"),
    (["--markdown", "--latex", "-d", "."], 2, "--markdown and --latex are given together"),
    (["--figure", "3"], 2, "give --data"),
    (["--figure", "2"], 2, "Known: 3"),
    (["--figure", "3", "--table", "1"], 2, "Both --table and --figure"),
    (["--figure", "3", "--generated", "made"], 2, "leave --generated out"),
    (["--ratings", "a.json"], 2, "Give --key too"),
    (["--key", "key.json"], 2, "give both"),
    (["--ratings", "a.json", "--key", "k.json", "--table", "1"], 2, "with --ratings"),
    (["--ratings", "a.json", "--key", "k.json"], 2, "k.json"),
    (["--generated", "made", "--listening-test", "taken"], 2, "is of a listening test already"),
]


@pytest.mark.parametrize(("arguments", "code", "reason"), BAD)
def test_what_is_wrong_is_one_line_before_any_work(call, sets, arguments, code, reason):
    Path("empty").mkdir()
    Path("taken").mkdir()
    Path("taken/key.json").touch()
    result, out, err = call(*arguments)
    assert (result, out, len(err)) == (code, [], 1)
    assert reason in err[0]
    assert not Path("eval").exists()


def test_help_and_wrong_names_load_nothing_heavy():
    for arguments in (["eval", "--help"], ["eval", "--metrics", "x"]):
        program = f"import sys; from clipsonic_cli.cli import run; run({arguments!r}); " + (
            "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert not loaded & {"torch", "numpy", "av", "soundfile", "PIL", "safetensors"}
        assert "typer" in loaded


def test_the_bare_command_scores_the_embedded_model_with_the_embedded_network(call):
    code, out, err = call("--metrics", "fad", "clap", "-n", 1, "--steps", 1, "--json")
    [row] = map(json.loads, out)
    assert (code, row["system"], row["guidance"]) == (0, "db", 1.5)
    assert {"fad[mini]", "clap[mini]"} <= {score["label"] for score in row["scores"]}
    assert "not on this machine: vggish, clap" in err[0]
    result = json.loads(Path("eval/mini/report.json").read_text())
    assert result["settings"]["reference"] == SHIPPED
    shares = "the kinds of sound requested are not those of the true sounds in the same shares"
    assert any(shares in note for note in result["notes"])


def test_sounds_of_another_model_have_nothing_to_be_compared_with(call, micro):
    code, _, err = call("--model", micro, "-n", 1, "--steps", 1, "--metrics", "fad", "clap")
    assert code == 0
    assert "fad[mini] left out: there are no true sounds" in err[0]


def test_metrics_that_need_the_true_sounds_themselves_are_left_out(call):
    code, _, err = call("--metrics", "kad", "clap", "-n", 1, "--steps", 1)
    assert code == 0
    assert "kad[mini] left out: there are no true sounds" in err[0]


def test_a_second_evaluation_into_a_folder_is_rejected_while_the_first_runs(call, sets):
    with ThreadPoolExecutor(1) as other:
        holding = owned(Path("out"), "clipsonic eval")
        other.submit(holding.__enter__).result()
        arguments = ("--metrics", "fad", "--generated", "made", "--reference", "truth")
        code, _, err = call(*arguments, "-o", "out")
        other.submit(holding.__exit__, None, None, None).result()
    assert (code, len(err)) == (2, 1)
    assert "'out' is being worked in: clipsonic eval, process" in err[0]
    assert call(*arguments, "-o", "out")[0] == 0


def test_a_report_of_other_settings_is_not_replaced(ask, call):
    ask("--modes", "zs", "--metrics", "fad", "--table", 1)
    first = Path("eval/micro/table-1.json")
    before = first.read_bytes()
    _, _, err = ask("--modes", "zs", "--metrics", "fad", "--table", 1, "-n", 1, "--steps", 3)
    assert first.read_bytes() == before
    (other,) = first.parent.glob("table-1-*.json")
    assert re.fullmatch(r"table-1-n1-steps3-[0-9a-f]{8}\.json", other.name)
    assert other.with_suffix(".html").is_file()
    assert any(line.endswith(f" instead of {first}, which has other settings") for line in err)
    for path, more in ((first, []), (other, ["-n", 1, "--steps", 3])):
        settings = json.loads(path.read_text())["settings"]
        (folder,) = [f for name, f in settings["sounds"].items() if name == "zs w=1.5"]
        assert len(list((first.parent / folder).iterdir())) == settings["n"]
        path.unlink()
        ask("--modes", "zs", "--metrics", "fad", "--table", 1, *more)
        if path == first:
            assert path.read_bytes() == before
    assert len(list(first.parent.glob("table-1*.json"))) == 2


def test_images_of_a_set_are_scored_without_true_sounds(call, fakes, micro, violin_picture):
    Path("ImageHear").mkdir()
    for name in ("dog1", "dog2", "gun1"):
        shutil.copy(violin_picture, f"ImageHear/{name}.jpg")
    fast = ["--steps", 2, "--seconds", 0.6]
    code, out, err = call("--model", micro, "--queries", "imagehear", "ImageHear", *fast)
    assert (code, len(out)) == (0, 2)
    assert out[1].startswith("iq\t1.5\tclap[mini]")
    assert "note: 3 of the 101 images of ImageHear are used" in err
    report = json.loads(Path("eval/micro/report.json").read_text())
    assert report["settings"]["queries"] == "imagehear"
    assert {s["prompt"] for s in report["samples"]} == {"a photo of dog", "a photo of gun"}


def test_a_dry_run_counts_and_makes_nothing(ask):
    code, out, err = ask("--modes", "iq", "zs", "--dry-run")
    assert (code, out[0]) == (0, "6 sounds to make (0 there already)")
    assert "systems: iq w=1.5, zs w=1.5, reconstruction" in out
    assert "not on this machine: vggish clap (clipsonic download vggish clap)" in out
    assert err[-1] == "nothing was made or written"
    assert not Path("eval").exists()
    _, (line,), _ = ask("--modes", "zs", "--dry-run", "--json")
    assert json.loads(line)["work"]["to_make"] == 4


def test_the_fast_preset_takes_8_steps(asked):
    assert asked("--preset", "fast")[:2] == ("unipc", 6)
    assert asked("--preset", "fast", "--sampler", "ddim")[:2] == ("ddim", 50)
    assert asked("--preset", "fast", "--steps", 3)[:2] == ("unipc", 3)


def test_the_preset_instant_is_of_a_student(call, fakes, micro, micro_student):
    arguments = ("--metrics", "clap", "-n", 2, "--seconds", 0.3, "--preset", "instant")
    code, _, (said,) = call("--model", micro, *arguments)
    assert (code, "lacks student.safetensors. To train student" in said) == (3, True)
    code, _, err = call("--model", micro_student, *arguments, "--sampler", "dpmpp")
    assert (code, "takes steps of ddim, not of dpmpp. Leave out --sampler" in err[-1]) == (2, True)
    code, _, _ = call("--model", micro_student, *arguments, "--modes", "zs", "-o", "out")
    assert code == 0
    (row, *_) = csv.DictReader(Path("out/report.csv").read_text().splitlines())
    assert (row["sampler"], row["steps"], row["student"]) == ("ddim", "4", "True")
