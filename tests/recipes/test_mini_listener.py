import json
import sys
from dataclasses import asdict, replace

import listener
import pytest
import soundfile
import torch
from features import Features
from prompts import label_texts
from sounds import SPEC, Sounds
from torch.nn.functional import one_hot

from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.models.listener import Listener, ListenerConfig
from clipsonic_cli.store.bundle import read_header
from clipsonic_cli.store.model_folders import BUNDLED

SMALL = ListenerConfig(channels=(4, 8), dim=6, text_dim=8, frames=16)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return 0.1 * torch.randn(shape, generator=generator())


@pytest.fixture
def texts():
    """Cat has prompts 0 and 1, dog 2, and owl, of which there is no sound, 3."""
    rows = one_hot(torch.arange(4), 8).float()
    return {"cat": rows[:2], "dog": rows[2:3], "owl": rows[3:]}


@pytest.fixture
def sounds():
    """Nine of a cat and one of a dog."""
    waves = (noise(10, 16_384) * 32768).to(torch.int16)
    names = ["cat"] * 9 + ["dog"]
    return Sounds([str(n) for n in range(10)], names, waves, torch.zeros(10, 1, 64, 32))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Listener(SMALL, SPEC)


def test_every_label_is_drawn_as_often_with_prompts_of_its_own(sounds, texts):
    dataset = listener.NamedSounds(sounds, texts)
    batch = dataset.sample(1000, generator())
    dog = batch["label"] == 1
    assert dog.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(batch["clip"] == 9, dog)
    prompts = batch["embed"].argmax(1)
    assert set(prompts[~dog].tolist()) == {0, 1}
    assert set(prompts[dog].tolist()) == {2}
    assert dataset.name(9) == "9"
    assert len(dataset) == 10


def test_a_draw_is_a_window_at_any_level_no_louder_than_it_was(network, sounds, texts):
    objective = listener.ListenerObjective(network)
    batch = listener.NamedSounds(sounds, texts).sample(50, generator())
    drawn = objective.draw(batch, generator())
    assert drawn["mel"].shape == (50, 1, 64, 16)
    assert drawn.keys() == {"clip", "label", "embed", "mel"}
    assert torch.equal(drawn["mel"], objective.draw(batch, generator())["mel"])
    whole = listener.normalize(objective.log_mel(batch["wave"]), SPEC).mean((1, 2, 3))
    quieter = (whole - drawn["mel"].mean((1, 2, 3))) * (SPEC.log_max - SPEC.log_min) / 2
    decibels = 20 / torch.tensor(10.0).log() * quieter
    assert decibels.min() > -1.5  # of the window's own
    assert decibels.max() < listener.QUIETER + 1.5
    assert decibels.std() > 3


def test_sounds_and_prompts_of_one_label_are_no_negatives_of_each_other(network):
    objective = listener.ListenerObjective(network)
    objective.networks["listener"] = lambda mel, embed: 30 * mel @ embed.T
    rows = torch.eye(2)[[0, 0, 1]]
    batch = {"mel": rows, "embed": rows, "label": torch.tensor([0, 0, 1])}
    loss = objective.loss("listener", batch, 0)
    # The two that are alike share their probability.
    assert loss.mean.item() == pytest.approx(2 / 3 * torch.tensor(2.0).log().item())
    assert loss.parts["misnamed"].tolist() == [0, 0, 0]
    wrong = objective.loss("listener", batch | {"mel": rows.flip(1)}, 0)
    assert wrong.parts["misnamed"].tolist() == [1, 1, 1]
    assert wrong.mean > 20


def test_what_is_learned_lowers_the_loss(network, sounds, texts):
    objective = listener.ListenerObjective(network)
    batch = objective.draw(listener.NamedSounds(sounds, texts).sample(8, generator()), generator())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for step in range(10):
        loss = objective.loss("listener", batch, step).mean
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


class ByLevel:
    """Hears a loud sound as the first label and a faint one as the second, in two windows."""

    def embed_text(self, texts):
        assert texts == ["a photo of cat", "a photo of dog", "a photo of owl"]
        return torch.eye(3)

    def embed(self, samples, sample_rate):
        assert sample_rate == 16_000
        return torch.eye(3)[[int(samples.abs().max() < 0.5), 2]] * torch.tensor([[2.0], [1.0]])


def test_sounds_are_named_by_all_their_windows_and_labels_count_alike():
    level = torch.tensor([32_000, 32_000, 32_000, 1000, 32_000], dtype=torch.int16)
    waves = level[:, None].expand(5, 100)
    names = ["cat", "cat", "cat", "cat", "dog"]
    sounds = Sounds(list("abcde"), names, waves, torch.zeros(5, 1, 64, 1))
    right = listener.named_right(ByLevel(), sounds, ["cat", "dog", "owl"])
    assert right == pytest.approx((3 / 4 + 0) / 2)


@pytest.fixture
def out(tmp_path, monkeypatch):
    """The recipe's folder before the step: the shipped CLIP, and noises for sounds."""
    clip = BUNDLED / "mini" / "clip.safetensors"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "clip.safetensors").symlink_to(clip)
    data = tmp_path / "data"
    data.mkdir()
    labels = [{"label": n, "synonyms": [], "category": "animal"} for n in ("cat", "dog")]
    (data / "labels.json").write_text(json.dumps(labels))
    rows = []
    for split in ("train", "valid", "test"):
        for label in ("cat", "dog"):
            path = f"{split}-{label}.wav"
            rows.append({"id": path, "label": label, "split": split, "path": path})
            soundfile.write(data / path, noise(40_000).numpy(), 16_000)
    (data / "clips.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = [text for label in labels for text in label_texts(label)]
    none = torch.empty(0)
    fields = dict.fromkeys(Features.__dataclass_fields__, none) | {"labels": ["cat", "dog"]}
    fields |= {"texts": texts, "text_embeds": noise(len(texts), 256).half()}
    features = Features(**fields | {"encoder": read_header(clip).encoder})
    torch.save(asdict(features), tmp_path / "features.pt")
    monkeypatch.setattr(listener, "CONFIG", replace(listener.CONFIG, batch_size=2))
    return tmp_path


def run(monkeypatch, out, *more):
    monkeypatch.setattr(sys, "argv", ["listener.py", "--out", str(out), *more])
    with torch.random.fork_rng():
        listener.main()


def test_the_step_goes_on_where_it_stopped_and_writes_what_the_package_loads(out, monkeypatch):
    run(monkeypatch, out, "--steps", "1")
    run(monkeypatch, out, "--steps", "2")
    logged = (out / "train" / "listener" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged if "lr" in line] == [1, 2]
    header = read_header(out / "model" / "listener.safetensors")
    assert header.meta["licence"] == "CC-BY-SA-4.0"
    assert header.meta["accuracy"].keys() == {"valid", "test"}
    backbone = MiniBackbone.read(out / "model", torch.device("cpu"))
    assert backbone.embed(noise(16_000), 16_000).isfinite().all()


def test_a_state_that_time_ends_is_judged_by_valid_clips_and_written(out, monkeypatch):
    run(monkeypatch, out, "--minutes", "0")
    meta = read_header(out / "model" / "listener.safetensors").meta
    assert (meta["steps"], meta["held_out"].keys()) == (1, {"listener"})


def test_the_step_out_of_turn_says_which_comes_before(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"features\.pt is missing: run recipes/mini/clip\.py"):
        run(monkeypatch, tmp_path)
