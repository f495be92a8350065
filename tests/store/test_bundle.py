import dataclasses
import errno
import json
import pickle
import struct
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from headers import BRIDGE, CLAP, CLIP, PRIOR, STATISTICS, STUDENT, UNET, VOCODER, VOCOS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from clipsonic_cli.config import (
    DiffusionConfig,
    PriorConfig,
    StudentConfig,
    UNetConfig,
    VocoderConfig,
)
from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.store.bundle import (
    KEY,
    MAX_HEADER,
    Bundle,
    identity,
    load,
    read_header,
    write,
)

HEADERS = [UNET, STUDENT, PRIOR, BRIDGE, VOCODER, VOCOS, STATISTICS, CLIP, CLAP]

anything_goes = settings(
    max_examples=700, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def path(tmp_path):
    """A small U-Net bundle."""
    path = tmp_path / "unet.safetensors"
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.float16)}
    write(path, Bundle(header=UNET, weights=weights))
    return path


def rewrite(path, change):
    """Change the JSON under our key by a function; the file stays well-formed."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    outer = json.loads(data[8 : 8 + length])
    inner = json.loads(outer["__metadata__"][KEY])
    outer["__metadata__"][KEY] = json.dumps(change(inner) or inner)
    raw = json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + length :])


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.kind)
def test_a_header_comes_back_as_it_was(tmp_path, header):
    write(tmp_path / "part", Bundle(header=header, weights={"w": torch.zeros(1)}))
    assert read_header(tmp_path / "part") == header


def test_tensors_come_back_bit_for_bit_in_their_dtypes(tmp_path):
    weights = {
        "float32": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "bfloat16": torch.tensor([0.1, -7.0], dtype=torch.bfloat16),
        "int64": torch.tensor([2**40]),
    }
    write(tmp_path / "part", Bundle(header=VOCODER, weights=weights))
    back = load(tmp_path / "part", kind="vocoder").weights
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in weights.items())


def test_views_and_tensors_that_share_memory_are_stored(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    channels_last = torch.arange(16.0).view(1, 2, 2, 4).to(memory_format=torch.channels_last)
    weights = {"a": shared, "b": shared.T, "c": channels_last}
    write(tmp_path / "part", Bundle(header=VOCODER, weights=weights))
    back = load(tmp_path / "part", kind="vocoder").weights
    assert all(torch.equal(back[name], value) for name, value in weights.items())


def test_weights_are_not_copied_to_be_written(tmp_path, monkeypatch):
    weights = {"a": torch.ones(3), "b": torch.ones(2, 2).half()}
    saved = {}

    def save(tensors, file, metadata):
        saved.update(tensors)
        file.write_bytes(b"")

    monkeypatch.setattr("safetensors.torch.save_file", save)
    write(tmp_path / "part", Bundle(header=VOCODER, weights=weights))
    assert all(saved[name].data_ptr() == value.data_ptr() for name, value in weights.items())


def test_two_writes_of_one_bundle_have_one_identity(path, tmp_path):
    again = tmp_path / "again.safetensors"
    write(again, load(path, kind="unet"))
    assert identity(again) == identity(path)
    write(again, Bundle(header=UNET, weights={"a": torch.zeros(1)}))
    assert identity(again) != identity(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(path):
    before = path.read_bytes()
    bad = dataclasses.replace(UNET, meta={"loss": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        write(path, Bundle(header=bad, weights={}))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_write_cut_off_by_the_disk_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, Bundle(header=UNET, weights={"a": torch.zeros(9)}))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_is_full_is_said_to_be_full(path, monkeypatch):
    before = path.read_bytes()

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space") as error:
        write(path, Bundle(header=UNET, weights={}))
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_another_kind_is_rejected_with_both_named(path):
    with pytest.raises(BadBundle, match="holds a unet, not a prior"):
        load(path, kind="prior")


def test_a_missing_file_is_missing_weights(tmp_path):
    with pytest.raises(MissingWeights, match="nowhere"):
        load(tmp_path / "nowhere", kind="unet")


def test_a_folder_is_a_bad_bundle(tmp_path):
    with pytest.raises(BadBundle, match="cannot be read"):
        read_header(tmp_path)


@pytest.mark.parametrize("version", [2, None, "1", True, 1.5])
def test_another_format_version_is_rejected_with_both_named(path, version):
    rewrite(path, lambda header: header | {"format": version})
    with pytest.raises(BadBundle, match=rf"version {version!r}; this clipsonic reads 1"):
        read_header(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda h: h["config"].pop("dropout") and None, "config lacks the field 'dropout'"),
        (lambda h: h["config"].update(depth=3), "config has the unknown field 'depth'"),
        (lambda h: h["config"].update(channels="32"), "config.channels is '32'"),
        (lambda h: h["config"].update(channels=True), "config.channels is True"),
        (lambda h: h["config"].update(channel_mult=[1, "2"]), r"channel_mult\[1\] is '2'"),
        (lambda h: h["diffusion"].update(schedule="linear"), "is 'linear', allowed: cosine|linear"),
        (lambda h: h.update(kind="gan"), "kind 'gan'; known: unet, student, prior"),
        (lambda h: h.update(kind=["unet"]), "kind"),
        (lambda h: h.update(mel=None), "needs 'mel'"),
        (lambda h: h.update(space="clap"), "clap"),
        (lambda h: h.update(extra=1), "unknown field 'extra'"),
        (lambda h: h["config"].update(learn_variance=False), "contradicts"),
        (lambda h: h["config"].update(channels=1 << 20), "channels is 1048576, allowed: 1 to 8192"),
        (lambda h: h["config"].update(channels=-32), "channels is -32"),
        (lambda h: h["config"].update(num_heads=0), "num_heads is 0"),
        (lambda h: h["config"].update(channel_mult=[]), "channel_mult has 0 items"),
        (lambda h: h["config"].update(channel_mult=[1] * 9), "channel_mult has 9 items"),
        (lambda h: h["config"].update(channel_mult=[1, 0]), "channel_mult is 0"),
        (lambda h: h["config"].update(channel_mult=[1] * 8), "n_mels 64 cannot be halved 7 times"),
        (lambda h: h["diffusion"].update(train_steps=0), "train_steps is 0"),
        (lambda h: h["diffusion"].update(train_steps=10**12), "allowed: 1 to 100000"),
        (lambda h: h["mel"].update(n_mels=10**9), "n_mels is 1000000000"),
        (lambda h: h["mel"].update(f_max=float("nan")), "to nan Hz"),
        (lambda h: h["mel"].update(hop_length=2048), "windows of 2048 every 2048"),
        (lambda h: h.clear(), "version None"),
        (lambda _: [1], "no JSON object"),
    ],
)
def test_a_header_that_is_not_exactly_right_is_rejected(path, change, complaint):
    rewrite(path, change)
    with pytest.raises(BadBundle, match=complaint):
        read_header(path)


@pytest.mark.parametrize("place", ["mel.f_max", "config.dropout", "config.channels"])
def test_a_number_that_no_float_holds_is_rejected(path, place):
    part, name = place.split(".")

    def change(header):
        header[part][name] = 10**400

    rewrite(path, change)
    with pytest.raises(BadBundle, match=rf"{name} is .*some 401 digits"):
        read_header(path)


def test_a_foreign_safetensors_file_is_rejected(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(BadBundle, match="no part of a clipsonic model"):
        read_header(tmp_path / "foreign")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("dump", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_a_pickle_is_rejected_and_not_executed(tmp_path, dump):
    with (tmp_path / "bomb").open("wb") as file:
        dump(Bomb(), file)
    with pytest.raises(BadBundle, match="no safetensors file"):
        load(tmp_path / "bomb", kind="unet")


def test_bytes_after_the_tensors_are_a_bad_bundle(path):
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BadBundle, match=r"has \d+ bytes, its header says \d+"):
        read_header(path)


def test_a_header_said_to_be_enormous_is_not_read(path):
    path.write_bytes(struct.pack("<Q", MAX_HEADER + 1) + b" " * (MAX_HEADER + 2))
    with pytest.raises(BadBundle, match="header is damaged"):
        read_header(path)


def test_deeply_nested_json_is_a_bad_bundle(path):
    raw = b"[" * 200_000
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    with pytest.raises(BadBundle, match="damaged"):
        read_header(path)


@anything_goes
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_a_bad_bundle(path, share):
    whole = path.read_bytes()
    cut = path.with_name("cut")
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadBundle):
        read_header(cut)


@anything_goes
@given(data=st.data())
def test_a_file_with_changed_bytes_loads_or_is_a_bad_bundle(path, data):
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    other = path.with_name("damaged")
    other.write_bytes(damaged)
    with suppress(BadBundle):  # any other error fails; so would a hang
        load(other, kind="unet")


@anything_goes
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_a_bad_bundle(tmp_path, content):
    (tmp_path / "noise").write_bytes(content)
    with pytest.raises(BadBundle):
        load(tmp_path / "noise", kind="unet")


def test_a_vocoder_of_a_kind_that_is_not_known_is_a_bad_bundle(tmp_path):
    config = dataclasses.asdict(VOCOS.config) | {"kind": "hifigan"}
    fields = {"format": 1, **dataclasses.asdict(VOCOS), "config": config}
    save_file({"a": torch.zeros(1)}, tmp_path / "part", metadata={"clipsonic": json.dumps(fields)})
    with pytest.raises(BadBundle, match=r"config\.kind is 'hifigan', allowed: vocos"):
        read_header(tmp_path / "part")


@pytest.mark.parametrize(
    ("header", "changes", "complaint"),
    [
        (UNET, {"encoder": None}, "needs 'encoder'"),
        (UNET, {"config": PriorConfig()}, "PriorConfig"),
        (STUDENT, {"config": UNetConfig()}, "UNetConfig"),
        (STUDENT, {"config": StudentConfig(calls=0)}, "calls is 0, allowed: 1 to 128"),
        (UNET, {"diffusion": DiffusionConfig(variance="fixed")}, "learn_variance True"),
        (PRIOR, {"config": PriorConfig(num_timesteps=10)}, "num_timesteps 10"),
        (VOCODER, {"mel": None}, "needs 'mel'"),
        (VOCODER, {"config": VocoderConfig(resblock_dilation_sizes=((),))}, "has 0 items"),
        (PRIOR, {"config": PriorConfig(depth=10**6)}, "depth is 1000000"),
        (CLIP, {"config": {"vocab_size": 10**9}}, "vocab_size is 1000000000"),
        (CLAP, {"config": {"window": 128}}, "window is 128, allowed: 1 to 16"),
        (CLAP, {"config": {"audio_depths": [2, 10**6]}}, "audio_depths is 1000000"),
        (CLAP, {"encoder": None}, "a clap needs 'encoder'"),
    ],
)
def test_a_header_that_contradicts_itself_cannot_be_made(header, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(header, **changes)


def test_a_header_is_read_without_torch(path):
    code = (
        "import sys, pathlib; from clipsonic_cli.store.bundle import read_header;"
        "read_header(pathlib.Path(sys.argv[1])); assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
