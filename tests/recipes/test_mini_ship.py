import json

import evaluate
import packages
import pytest
import ship

from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED

MINI = sorted((BUNDLED / "mini").glob("*.safetensors"))


@pytest.mark.parametrize("path", MINI, ids=lambda path: path.stem)
def test_every_part_states_its_licence(path):
    assert bundle.read_header(path).meta["licence"] == "CC-BY-SA-4.0"


def test_the_unet_lists_the_labels_it_was_trained_on():
    labels = bundle.read_header(BUNDLED / "mini" / "unet.safetensors").meta["labels"]
    assert labels == sorted(set(labels))
    assert set(labels) <= set(ship.labels(packages.SOURCES))
    assert {"violin", "dog", "vacuum cleaner"} < set(labels)


def test_a_part_is_shipped_with_more_meta_and_the_same_weights(tmp_path):
    source, target = BUNDLED / "mini" / "vocoder.safetensors", tmp_path / "vocoder.safetensors"
    before = bundle.read_header(source)
    header = ship.copy(source, target, {"labels": ["dog"]})
    assert header == bundle.read_header(target)
    assert header.meta == {**before.meta, "labels": ["dog"]}
    assert ship.copy(target, target, {"labels": ["cat"]}).meta["labels"] == ["cat"]
    size = 8 + int.from_bytes(source.read_bytes()[:8], "little")
    weights = source.read_bytes()[size:]
    assert target.read_bytes().endswith(weights)


def test_labels_and_credits_are_those_of_the_data_sets_own_tables(tmp_path):
    for name in ("labels", "sounds", "pictures", "packages"):
        first = (packages.SOURCES / f"{name}.csv").read_text(encoding="utf-8").splitlines()[:2]
        (tmp_path / f"{name}.csv").write_text("\n".join(first), encoding="utf-8")
    assert ship.labels(tmp_path) == ["piano"]
    assert ship._sources(tmp_path).count("\n- ") == 2


def test_every_file_something_was_learned_from_is_credited_in_the_card():
    listed = ship._sources(packages.SOURCES)
    for table in ("sounds.csv", "pictures.csv"):
        for row in packages.rows(table):
            credit = f"- {row['label']}: {row['package']} `{row['path']}` ({row['licence']}"
            assert credit in listed
    for row in packages.rows("packages.csv"):
        assert f"| {row['package']} | {row['version']} | {row['licence']} |" in listed


def test_the_soundfonts_notice_is_part_of_the_licence(tmp_path):
    folder = tmp_path / "pkg" / "musescore-general-soundfont-small" / "usr"
    folder.mkdir(parents=True)
    (folder / "copyright").write_text("Copyright © S. Christian Collins\n", encoding="utf-8")
    assert "```\nCopyright © S. Christian Collins\n```" in ship.licence(tmp_path)
    with pytest.raises(SystemExit, match=r"copyright is missing: run recipes/mini/data\.py first"):
        ship.licence(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({}, "-"),
        ({"losses": {"unet": 0.12345, "unet_grad_norm": 3.0}}, "unet 0.123"),
        ({"losses": {"a": 1, "b": 2}}, "a 1.000, b 2.000"),
    ],
)
def test_losses_are_reported_without_gradients(meta, told):
    assert ship._losses(meta) == told


def test_the_held_out_curve_is_thinned_and_keeps_its_last_point():
    lines = [json.dumps({"step": n, "unet": 1.0}) for n in range(1, 40)]
    lines += [json.dumps({"step": n, "held_out_unet": 1 / n}) for n in range(1, 40)]
    curve = ship.held_out("\n".join(lines), points=10)
    assert curve[1] == 1
    assert curve[39] == pytest.approx(1 / 39)
    assert 8 <= len(curve) <= 12


def test_the_card_states_what_was_measured():
    headers = {path.stem: bundle.read_header(path) for path in MINI}
    headers["unet"].meta["warm_start"] = {"steps": 4165, "batch_size": 32}
    kinds = ["real", "iq", "pd", "zs"]
    shares = {kind + ear: 0.5 for ear in evaluate.EARS for kind in kinds}
    results = {
        "labels": 114,
        "sounds_a_label_and_mode": 4,
        "dtype": "auto",
        "vocoder": "vocos",
        "accuracy": shares,
        "standard_error": dict.fromkeys(shares, 0.01),
        "nearest_training_clip": {"pd": {"5 %": 0.1, "median": 0.2}},
        "spread": {"dog": {"generated": 0.3, "real": 0.4}},
        "free_prompts": 100,
        "free_prompts_accuracy": 0.83,
        "photographs": 33,
        "photographs_accuracy": 0.67,
        **{f"real_where_iq_has_pictures{ear}": 0.6 for ear in evaluate.EARS},
    }
    card = ship.card(headers, results, packages.SOURCES, curve={250: 0.07, 500: 0.06})
    assert "(4165 steps of 32 clips" in card
    assert "0.0700 (250), 0.0600 (500)" in card
    assert "| real (other packages) | 50.0% | 1.0% |" in card
    assert "names\n83% as a person" in card
    assert "it names 67% as a person would expect" in card
