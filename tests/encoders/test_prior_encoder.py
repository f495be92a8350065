import errno
import os
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from clipsonic_cli.config import DiffusionConfig, PriorConfig
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.encoders.prior import PriorEncoder
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.models import optional
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.modes import MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.store import model_folders
from clipsonic_cli.store.bundle import load
from clipsonic_cli.types import Query

X0 = DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)


@pytest.fixture(scope="module")
def clip(micro):
    return load_clip(load(micro / "clip.safetensors", kind="clip"))


@pytest.fixture(scope="module")
def prior(micro):
    bundle = load(micro / "prior.safetensors", kind="prior")
    network = Prior(bundle.header.config).eval()
    network.load_state_dict(bundle.weights)
    return network


@pytest.fixture
def encoder(clip, prior):
    def build(**options):
        return PriorEncoder(clip, prior, X0, identity="micro", **{"steps": 4, **options})

    return build


def ask(encoder, texts, seeds):
    return encoder([Query(text=text) for text in texts], noise=SeededNoise(seeds))


def test_texts_become_unit_vectors_of_image_space(encoder, clip):
    condition = ask(encoder(), ["violin", "cat"], [0, 1])
    assert (condition.space, condition.encoder) == ("clip-image", clip.identity)
    torch.testing.assert_close(condition.embed.norm(dim=1), torch.ones(2))


def test_the_batch_around_a_text_changes_nothing(encoder):
    together = ask(encoder(), ["violin", "cat"], [5, 6]).embed
    alone = ask(encoder(), ["cat"], [6]).embed
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_another_seed_gives_another_embedding_and_the_same_seed_the_same(encoder):
    first = ask(encoder(), ["cat"], [0]).embed
    assert torch.equal(first, ask(encoder(), ["cat"], [0]).embed)
    assert not torch.equal(first, ask(encoder(), ["cat"], [1]).embed)


def test_of_the_candidates_the_nearest_to_the_text_is_kept(encoder, clip, prior, monkeypatch):
    text_embed, _ = clip.embed_text(["cat"])
    near = normalize(text_embed + 0.05 * torch.randn(1, clip.dim), dim=-1)
    answers = torch.cat([-text_embed, near, torch.flip(text_embed, [1])])
    monkeypatch.setattr(prior, "forward", lambda x_t, *_: answers * prior.config.dim**0.5)
    kept = ask(encoder(candidates=3), ["cat"], [0]).embed
    torch.testing.assert_close(kept, near)


def test_a_prior_that_knows_the_answer_gives_it(encoder, clip, prior, monkeypatch):
    answer = normalize(torch.arange(1.0, clip.dim + 1), dim=0)
    monkeypatch.setattr(
        prior, "forward", lambda x_t, *_: answer.expand_as(x_t) * prior.config.dim**0.5
    )
    torch.testing.assert_close(ask(encoder(), ["cat"], [0]).embed[0], answer)


def test_every_candidate_is_reported_its_own_text_and_the_training_step(
    encoder, clip, prior, monkeypatch
):
    seen = []

    def spy(x_t, t, text_embed, encodings):
        seen.append((x_t.shape, t.tolist(), text_embed))
        return x_t

    monkeypatch.setattr(prior, "forward", spy)
    ask(encoder(steps=3), ["violin", "cat"], [0, 1])
    embeds, _ = clip.embed_text(["violin", "cat"])
    assert [t for _, t, _ in seen] == [[999] * 4, [500] * 4, [0] * 4]
    torch.testing.assert_close(seen[0][2], embeds[[0, 0, 1, 1]])


def test_a_prior_with_laions_attention_visits_the_steps_of_its_time(clip):
    laions = Prior(PriorConfig(dim=clip.dim, depth=1, heads=1, attention="softmax_bias128"))
    made = PriorEncoder(clip, laions, X0, identity="laion")
    assert (len(made.timesteps), made.timesteps[0], made.timesteps[-1]) == (64, 984, 15)


def test_what_was_drawn_once_is_not_drawn_again(encoder, prior, monkeypatch):
    made = encoder()
    first = ask(made, ["cat"], [0]).embed
    monkeypatch.setattr(prior, "forward", None)
    assert torch.equal(first, ask(made, ["cat"], [0]).embed)


def test_the_cache_leaves_later_noise_as_it_would_be(encoder):
    made, noise, again = encoder(), SeededNoise([0]), SeededNoise([0])
    made([Query(text="cat")], noise=noise)
    made([Query(text="cat")], noise=again)
    assert torch.equal(noise((1, 5)), again((1, 5)))


def test_embeddings_are_kept_on_disk_between_runs(encoder, prior, monkeypatch, tmp_path):
    first = ask(encoder(cache=tmp_path / "kept"), ["cat"], [0]).embed
    monkeypatch.setattr(prior, "forward", None)
    assert torch.equal(first, ask(encoder(cache=tmp_path / "kept"), ["cat"], [0]).embed)
    (file,) = (tmp_path / "kept").iterdir()
    assert np.load(file, allow_pickle=False).shape == (first.shape[1],)


@pytest.mark.parametrize("change", ["weights", "seed", "text", "steps", "candidates"])
def test_the_cache_tells_everything_apart_that_matters(clip, prior, tmp_path, change):
    def run(identity="a", text="cat", seed=0, **options):
        made = PriorEncoder(clip, prior, X0, identity=identity, cache=tmp_path, **options)
        ask(made, [text], [seed])

    run(steps=4, candidates=2)
    match change:
        case "weights":
            run(identity="b", steps=4, candidates=2)
        case "seed":
            run(seed=1, steps=4, candidates=2)
        case "text":
            run(text="dog", steps=4, candidates=2)
        case "steps":
            run(steps=5, candidates=2)
        case "candidates":
            run(steps=4, candidates=1)
    assert len(list(tmp_path.iterdir())) == 2


def npy(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(128)


@pytest.mark.parametrize(
    "content",
    [
        npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1" + b"0" * 17 + b",)}"),
        npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (8,)"),
        npy(b"{'descr': '<f4\n"),
        npy(b"{'descr': ({}, {}), 'fortran_order': False, 'shape': (8,)}"),
        b"PK\x03\x04" + bytes(40),
        b"PK\x05\x06" + bytes(18),
    ],
)
def test_a_hostile_cache_file_is_drawn_again(encoder, tmp_path, content):
    first = ask(encoder(cache=tmp_path), ["cat"], [0]).embed
    [path] = tmp_path.iterdir()
    path.write_bytes(content)
    assert torch.equal(first, ask(encoder(cache=tmp_path), ["cat"], [0]).embed)


def test_a_damaged_cache_file_is_drawn_again(encoder, tmp_path):
    first = ask(encoder(cache=tmp_path), ["cat"], [0]).embed
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:90])
    assert torch.equal(first, ask(encoder(cache=tmp_path), ["cat"], [0]).embed)
    assert np.load(file).shape == (first.shape[1],)


def test_of_a_batch_nothing_is_kept_as_the_others_round_it(encoder, tmp_path):
    ask(encoder(cache=tmp_path), ["cat", "dog"], [0, 1])
    assert not list(tmp_path.iterdir())
    ask(encoder(cache=tmp_path), ["cat"], [0])
    alone = ask(encoder(), ["cat"], [0]).embed
    assert torch.equal(ask(encoder(cache=tmp_path), ["cat", "dog"], [0, 1]).embed[:1], alone)


def test_what_cannot_be_kept_is_reported_once_and_the_answer_given(encoder, tmp_path):
    (tmp_path / "file").touch()
    made = encoder(cache=tmp_path / "file" / "prior")
    with pytest.warns(UserWarning, match=r"cannot be kept .* in '.*prior' \(Not a directory\)\."):
        kept = ask(made, ["cat"], [0]).embed
    assert torch.equal(kept, ask(encoder(), ["cat"], [0]).embed)
    ask(made, ["dog"], [0])  # warns no more


def test_a_full_disk_leaves_no_half_file(encoder, tmp_path, monkeypatch):
    def full(file, _):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="No space left"):
        ask(encoder(cache=tmp_path), ["cat"], [0])
    assert not list(tmp_path.iterdir())


def test_the_oldest_embeddings_make_room(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.encoders.prior.MAX_KEPT", 2)
    for age in range(4):
        (tmp_path / f"{age}.npy").touch()
        os.utime(tmp_path / f"{age}.npy", (1000 - age, 1000 - age))
    encoder(cache=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"0.npy", "1.npy"}


def test_a_cut_text_is_reported_whether_or_not_it_was_drawn_before(encoder, tmp_path):
    for _ in range(2):
        with pytest.warns(UserWarning, match="CLIP reads 64 of the 70 tokens") as caught:
            ask(encoder(cache=tmp_path), ["a" * 70], [0])
        assert len(caught) == 1


def test_progress_is_reported_as_the_priors(encoder):
    seen = []
    encoder()([Query(text="cat")], noise=SeededNoise([0]), report=lambda *p: seen.append(p))
    assert seen == [("prior", i, 4) for i in (1, 2, 3, 4)]


def test_impossible_options_are_rejected(encoder, clip, prior):
    with pytest.raises(ValueError, match="at least 1"):
        encoder(candidates=0)
    with pytest.raises(UsageError, match="1001 steps"):
        encoder(steps=1001)


def test_a_torchvision_of_another_release_is_explained(micro, monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "dalle2_pytorch":
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [*sys.modules]:
        if name.startswith("dalle2_pytorch") or name.endswith(("encoders.prior", "models.prior")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr(optional, "_version_of", lambda _package: "0.1.0")
    parts = Parts(model_folders.find(micro), torch.device("cpu"), torch.float32)
    with pytest.raises(
        ClipsonicError, match=r"^dalle2-pytorch .*nms.*torchvision 0\.1\.0"
    ) as caught:
        parts.encoder(MODES["pd"], candidates=1)
    assert "\n" not in str(caught.value)
