import dataclasses
import shutil

import pytest

from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.training import publish


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def own(home, micro):
    """A model "own" of the home, like micro."""
    shutil.copytree(micro, home / "models" / "own")
    return home / "models" / "own"


def change(path, **changes):
    loaded = bundle.load(path, kind=bundle.read_header(path).kind)
    header = dataclasses.replace(loaded.header, **changes)
    weights = {name: weight.clone() for name, weight in loaded.weights.items()}
    bundle.write(path, Bundle(header=header, weights=weights))


def trained_by(path, run):
    change(path, meta={"run": run})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\nb"])
def test_a_name_that_is_no_folders_is_rejected(home, name):
    with pytest.raises(UsageError, match="cannot be a model's name"):
        publish.check_name(name)


def test_a_built_in_models_name_is_rejected(home):
    with pytest.raises(UsageError, match=r"'mini' is built in.*`name`"):
        publish.check_name("mini")


def test_a_part_is_free_unless_another_run_trained_it(own):
    publish.check_free("own", "unet", run=None)
    trained_by(own / "unet.safetensors", "one")
    publish.check_free("own", "unet", run="one")
    publish.check_free("own", "prior-sd", run=None)
    for run in (None, "two"):
        with pytest.raises(UsageError, match=r"another run trained.*`overwrite`"):
            publish.check_free("own", "unet", run=run)


def test_the_base_is_what_is_requested_else_the_model_else_the_built_in_one(own, micro):
    def base(name, model="own", *, paper=False, gpu=False):
        return publish.base_of(name, model, paper=paper, gpu=gpu).name

    assert base(str(micro)) == str(micro)
    assert base(None) == "own"
    assert base(None, "new", gpu=True) == "mini"  # nothing published is on this machine
    assert base(None, "new", paper=True) == base("published") == "published"


def test_an_unknown_base_is_rejected(home):
    with pytest.raises(UsageError, match=r"no model 'minni'. Did you mean 'mini'"):
        publish.base_of("minni", "new", paper=False, gpu=False)


def test_an_encoder_that_is_not_there_is_missing(home):
    base = publish.base_of("published", "new", paper=False, gpu=False)
    with pytest.raises(MissingWeights, match=r"1\.71 GB.*: clipsonic download --for train"):
        publish.encoder_of(base, "new", "clip")


def test_a_model_keeps_its_encoder(own, micro, tmp_path):
    publish.encoder_of(model_folders.find(micro), "own", "clip")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(micro / "clip.safetensors", other)
    change(other / "clip.safetensors", encoder="other-clip")
    publish.encoder_of(model_folders.find(other), "new", "clip")
    with pytest.raises(UsageError, match=r"has another CLIP .*other-clip"):
        publish.encoder_of(model_folders.find(other), "own", "clip")


def stems(folder):
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def test_what_is_not_trained_is_taken_over(micro, tmp_path):
    publish.take_over(model_folders.find(micro), tmp_path / "model", "prior")
    assert stems(tmp_path / "model") == ["clip", "unet", "vocoder"]
    publish.take_over(model_folders.find(micro), tmp_path / "tta", "unet-clip-text")
    assert stems(tmp_path / "tta") == ["clip", "prior", "vocoder"]  # another U-Net would not fit


def test_a_prior_of_another_data_sets_texts_is_not_taken_over(tmp_path):
    mini = model_folders.find("mini")
    assert mini.has("prior-sd")
    publish.take_over(mini, tmp_path / "model", "unet")
    assert stems(tmp_path / "model") == ["clip", "prior", "vocoder"]


def test_published_weights_alone_are_not_copied(home, tmp_path):
    base = publish.base_of("published", "new", paper=False, gpu=False)
    publish.take_over(base, tmp_path / "model", "unet")
    assert list((tmp_path / "model").iterdir()) == []


def test_licences_of_a_base_come_along_but_not_its_card(micro, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(micro, base)
    for name in ("LICENSE-WEIGHTS.md", publish.CARD):
        (base / name).write_text(name)
    publish.take_over(model_folders.find(base), tmp_path / "model", "unet")
    assert [path.name for path in (tmp_path / "model").glob("*.md")] == ["LICENSE-WEIGHTS.md"]


def test_publishing_replaces_the_part_and_adds_what_lacks(own, micro, tmp_path):
    made = tmp_path / "model"
    shutil.copytree(micro, made)
    for part in ("unet", "clip"):
        trained_by(made / f"{part}.safetensors", "me")
    (own / "vocoder.safetensors").unlink()
    model, former = publish.publish(made, "own", "unet")
    assert model.path == own
    assert former == [own / "unet.safetensors.1"]
    assert former[0].read_bytes() == (micro / "unet.safetensors").read_bytes()
    assert model.modes() == model_folders.find(micro).modes()
    assert bundle.read_header(own / "unet.safetensors").meta["run"] == "me"
    assert "run" not in bundle.read_header(own / "clip.safetensors").meta
    assert (own / "vocoder.safetensors").read_bytes() == (
        micro / "vocoder.safetensors"
    ).read_bytes()


def test_a_student_goes_with_its_teacher(own, micro_student, tmp_path):
    publish.take_over(model_folders.find(micro_student), tmp_path / "other", "prior")
    assert "student" in stems(tmp_path / "other")
    publish.take_over(model_folders.find(micro_student), tmp_path / "new", "unet")
    assert "student" not in stems(tmp_path / "new")
    publish.publish(tmp_path / "other", "own", "student")
    assert "student" in stems(own)
    trained_by(tmp_path / "other" / "unet.safetensors", "me")
    _, former = publish.publish(tmp_path / "other", "own", "unet")
    assert "student" not in stems(own)
    assert [path.name for path in former] == ["unet.safetensors.1", "student.safetensors.1"]


def test_a_part_that_is_replaced_is_kept_unless_the_same_run_trained_it(own, micro, tmp_path):
    made = tmp_path / "model"
    shutil.copytree(micro, made)
    kept = []
    for run in ("one", "one", "two", "one"):
        trained_by(made / "vocoder.safetensors", run)
        _, former = publish.publish(made, "own", "vocoder")
        kept.append([path.name.removeprefix("vocoder.safetensors") for path in former])
    assert kept == [[".1"], [], [".2"], [".3"]]
    names = [f"vocoder.safetensors{number}" for [number] in filter(None, kept)]
    runs = [bundle.read_header(own / name).meta.get("run") for name in names]
    assert runs == [None, "one", "two"]
    (own / "vocoder.safetensors").write_bytes(b"damaged")
    _, [former] = publish.publish(made, "own", "vocoder")
    assert former.read_bytes() == b"damaged"
    assert publish.publish(made, "new", "vocoder")[1] == []


@pytest.mark.parametrize(
    ("drawn", "data", "note"),
    [
        (
            {"seed": 5, "test_share": 0.2, "valid_share": 0.0},
            "pets",
            "`seed` 5 and `test_share` 0.2",
        ),
        ({"seed": 0, "test_share": 0.1, "valid_share": 0.0}, "pets", None),
        ({"seed": 5, "test_share": 0.2, "valid_share": 0.0}, "birds", None),
        (None, "pets", None),
    ],
)
def test_other_splits_of_the_same_clips_are_reported(own, drawn, data, note):
    change(own / "unet.safetensors", meta={"data": {"name": data, "drawn": drawn}})
    (own / "prior.safetensors").write_bytes(b"damaged")
    change(own / "vocoder.safetensors", meta={"data": "a name"})
    said = publish.other_splits("own", "pets", SplitDraw())
    assert (said is None) == (note is None)
    assert note is None or (note in said and "the unet of 'own'" in said)
    assert publish.other_splits("own", "pets", None) is None
    assert publish.other_splits("new", "pets", SplitDraw()) is None
