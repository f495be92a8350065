import csv

import forgive
import pytest
import typer
from make_media import put

from clipsonic_cli.cli import app
from clipsonic_cli.data.listing import list_clips
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.evaluation.results import COLUMNS

SAME = {(mode, metric): (0.5, 0.4, 0.6) for mode in forgive.MODES for metric in forgive.METRICS}


def test_a_difference_is_said_where_intervals_lie_apart():
    changed = {
        ("iq", "clap[mini]"): (0.2, 0.1, 0.3),
        ("zs", "fad[mini]"): (0.3, 0.2, 0.39),
        ("ms", "fad[mini]"): (0.45, 0.35, 0.55),
    }
    assert forgive.differences({"none": SAME, "noise": SAME | changed}) == [
        "- noise: clap[mini] of iq is worse, 0.200 against 0.500",
        "- noise: fad[mini] of zs is better, 0.300 against 0.500",
    ]
    assert forgive.differences({"none": SAME, "noise": SAME})[0].startswith("- Nothing beyond")


def test_the_page_has_a_table_of_each_metric_and_the_options_of_each_way():
    lines = forgive.page({"none": SAME, "crops": SAME}, steps=2, count=3).splitlines()
    assert "- crops: `clipsonic train --crops 2`" in lines
    assert lines.count("| training | iq | zs | ms | pd |") == len(forgive.METRICS)
    assert lines.count("| crops |" + " 0.500 (0.400 to 0.600) |" * 4) == len(forgive.METRICS)


def test_scores_are_read_from_a_report(tmp_path):
    with (tmp_path / "report.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, restval="")
        rows.writeheader()
        rows.writerow({"system": "pd", "metric": "fad[mini]", "value": 0.1, "low": 0, "high": 1})
        rows.writerow({"system": "pd", "metric": "fad-infinity[mini]", "value": 0.1})
        rows.writerow({"system": "reconstruction", "metric": "fad[mini]", "value": 0.1})
    assert forgive.read_scores(tmp_path / "report.csv") == {("pd", "fad[mini]"): (0.1, 0.0, 1.0)}


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
