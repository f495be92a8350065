import packages
import pytest
import ship


def test_every_file_something_was_learned_from_is_credited_in_the_card():
    listed = ship._sources()
    kinds = {row["label"]: row["kind"] for row in packages.rows("labels.csv")}
    for table in ("sounds.csv", "pictures.csv"):
        for row in packages.rows(table):
            credit = f"- {row['label']}: {row['package']} `{row['path']}` ({row['licence']}"
            rendered = table == "sounds.csv" and kinds[row["label"]] != "recorded"
            assert (credit in listed) != rendered
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
