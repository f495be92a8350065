"""The rows of the manifest, one by one."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import MODES
from clipsonic_cli.store.manifest import ASSETS, find, needed_for, purposes, standing_in

ROWS = pytest.mark.parametrize("row", ASSETS.values(), ids=list(ASSETS))
FILES = pytest.mark.parametrize(
    "file", [file for row in ASSETS.values() for file in row.files], ids=lambda file: file.name
)


@ROWS
def test_a_row_says_whose_it_is_and_what_it_is_for(row):
    assert row.licence
    assert row.page.startswith("https://")
    assert row.size > 1e6
    assert row.modes or row.metrics or row.conditions or row.stages


@ROWS
def test_modes_of_a_row_need_its_part(row):
    for mode in row.modes:
        assert row.part in MODES[mode].weights


@FILES
def test_files_are_fetched_by_https_and_stay_in_their_folder(file):
    assert Path(file.name).name == file.name
    for url in file.urls:
        assert urlsplit(url).scheme == "https"
        assert unquote(urlsplit(url).path).endswith(file.name)


@FILES
def test_a_mirror_is_asked_only_where_the_whole_digest_is_known(file):
    assert len(file.urls) == 1 or len(file.sha256 or "") == 64


@FILES
def test_a_digest_is_hexadecimal_and_says_where_it_is_from(file):
    assert file.digest_from
    if file.sha256 is not None:
        assert 8 <= len(file.sha256) <= 64
        assert int(file.sha256, 16) >= 0
        assert file.digest_from != ASSETS["improved-diffusion"].files[0].digest_from


@pytest.mark.parametrize("purpose", purposes())
def test_every_purpose_needs_something_and_one_of_each_part(purpose):
    parts = [row.part for row in needed_for(purpose) if row.part]
    assert needed_for(purpose)
    assert len(parts) == len(set(parts))


def test_pd_needs_the_papers_clip_and_prior():
    assert [row.name for row in needed_for("pd")] == ["openai-clip", "laion-prior"]


def test_evaluation_needs_what_its_metrics_take_by_themselves():
    assert [row.name for row in needed_for("eval")] == ["openai-clip", "clap", "vggish"]
    assert [row.name for row in needed_for("fad:panns")] == ["panns"]
    assert [row.name for row in needed_for("is")] == ["passt"]
    assert [row.name for row in needed_for("cs")] == ["wav2clip"]
    assert [row.name for row in needed_for("aes")] == ["audiobox"]


def test_blanks_in_a_purpose_do_not_matter():
    assert needed_for("train  --condition  clap-text") == [ASSETS["clap"]]


def test_an_unknown_name_or_purpose_suggests_the_nearest():
    with pytest.raises(UsageError, match="'vggish'"):
        find("vgish")
    with pytest.raises(UsageError, match="Unknown purpose 'evla'"):
        needed_for("evla")


def test_the_first_prior_to_stand_in_is_the_papers():
    assert standing_in("prior")[0].name == "laion-prior"
