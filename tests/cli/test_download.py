"""The command as a person runs it; a server on the loopback plays the publishers, as a mirror."""

import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from urllib.parse import urlsplit

import published as files
import pytest
import torch
from server import Fault, Server

from clipsonic_cli import published
from clipsonic_cli.cli import run
from clipsonic_cli.cli.download import command as download
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store import web as sources
from clipsonic_cli.store.manifest import ASSETS


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "my home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "my home"


@pytest.fixture
def web(monkeypatch):
    with Server() as server:
        monkeypatch.setenv("CLIPSONIC_MIRROR", server.base)
        for name in ("HF_TOKEN", "CLIPSONIC_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
            monkeypatch.delenv(name, raising=False)
        every_source = sources.sources

        def local_sources(urls, **options):
            return [url for url in every_source(urls, **options) if url.startswith(server.base)]

        # No test sends a request to a publisher, whatever the mirror answers.
        monkeypatch.setattr(sources, "sources", local_sources)
        yield server


def publish(web, name, content, *faults):
    url = urlsplit(ASSETS[name].files[0].urls[0])
    return web.serve(f"/{url.netloc}{url.path}", content, *faults)


@pytest.fixture
def prior(tmp_path):
    torch.save(files.laion_prior(dim=64, depth=1, heads=2, max_text_len=8), tmp_path / "best.pth")
    return (tmp_path / "best.pth").read_bytes()


def objects(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_alone_it_shows_what_there_is(capsys):
    assert run(["download"]) == 0
    shown = capsys.readouterr()
    for row in ASSETS.values():
        line = next(line for line in shown.out.splitlines() if line.startswith(f"{row.name}\t"))
        assert row.licence in line
        assert line.split()[-1] == "absent"
    assert "clipsonic models" in shown.err
    assert "clipsonic download NAME" in shown.err


def test_a_broken_download_goes_on_and_becomes_a_part(web, prior, home, capsys):
    publish(web, "conditioned-prior", prior, Fault(cut_after=1000), Fault())
    assert run(["download", "conditioned-prior", "--json"]) == 0
    (result,) = objects(capsys)
    assert set(result["kept"]) == {"prior.safetensors"}
    assert result["fetched"]["best.pth"]["bytes"] == len(prior)
    assert len(web.requests) == 2
    assert run(["download", "--list", "conditioned-prior", "--json"]) == 0
    assert objects(capsys)[0]["state"] == "here"


def test_a_downloaded_part_stands_in_for_one_a_model_lacks(web, prior, micro, tmp_path, capsys):
    publish(web, "conditioned-prior", prior)
    lacking = tmp_path / "lacking"
    shutil.copytree(micro, lacking)
    (lacking / "prior.safetensors").unlink()
    arguments = ["generate", "rain", "--model", str(lacking), "-o", str(tmp_path / "a.wav")]
    assert run(arguments) == 3
    assert "clipsonic download laion-prior" in capsys.readouterr().err
    assert run(["download", "conditioned-prior"]) == 0
    assert run(arguments) == 1  # it is found, and is of another CLIP
    error = capsys.readouterr().err
    assert "micro-clip" in error
    assert "ViT-L-14-quickgelu-openai" in error


def test_verify_finds_a_changed_byte_and_remove_makes_room(web, prior, home, capsys):
    publish(web, "conditioned-prior", prior)
    run(["download", "conditioned-prior"])
    assert run(["download", "--verify"]) == 0
    path = home / "weights" / "conditioned-prior" / "prior.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert run(["download", "--verify", "conditioned-prior"]) == 1
    assert "sha256" in capsys.readouterr().out
    assert run(["download", "--remove", "conditioned-prior"]) == 0
    assert not path.exists()


def test_another_file_than_the_pinned_one_is_rejected(web, prior, home, capsys):
    publish(web, "conditioned-prior", prior)
    run(["download", "conditioned-prior"])
    run(["download", "--remove", "conditioned-prior"])
    publish(web, "conditioned-prior", prior[:-1] + b"x")
    assert run(["download", "conditioned-prior"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not list((home / "weights").glob("**/*.safetensors"))


def test_a_file_that_is_no_prior_ends_in_one_line_and_nothing_is_used(web, home, capsys):
    publish(web, "conditioned-prior", b"not a checkpoint" * 100)
    assert run(["download", "conditioned-prior"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "best.pth" in error
    assert not list(home.glob("**/*.safetensors"))


def test_a_warm_start_is_kept_as_it_is_published(web, home):
    publish(web, "improved-diffusion", b"weights")
    assert run(["download", "improved-diffusion", "--quiet"]) == 0
    kept = home / "weights" / "improved-diffusion" / "imagenet64_uncond_100M_1500K.pt"
    assert kept.read_bytes() == b"weights"


def test_one_that_fails_does_not_stop_the_others(web, home, capsys):
    publish(web, "improved-diffusion", b"weights")
    publish(web, "laion-prior", b"", Fault(status=404))
    assert run(["download", "improved-diffusion", "laion-prior", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["name"] == "improved-diffusion"
    assert "laion-prior" in shown.err


def test_a_model_that_says_nasty_things_of_itself_is_shown_as_text(micro, tmp_path, capsys):
    part = bundle.load(micro / "vocoder.safetensors", kind="vocoder")
    meta = {"licence": "[/red] [bold]free\x1b[2J\nof charge"}
    header = dataclasses.replace(part.header, meta=meta)
    bundle.write(tmp_path / "evil.safetensors", bundle.Bundle(header=header, weights=part.weights))
    assert run(["download", str(tmp_path / "evil.safetensors")]) == 0
    assert run(["models"]) == 0
    shown = capsys.readouterr()
    assert "[/red] [bold]free\\x1b[2J\\nof charge" in shown.out
    assert "[/red] [bold]free\\x1b[2J\\nof charge" in shown.err
    assert "\x1b" not in shown.out + shown.err


def test_verify_finds_a_changed_byte_in_a_shared_model(micro, home, capsys):
    assert run(["download", str(micro), "--as", "theirs"]) == 0
    assert run(["download", "--verify", "theirs"]) == 0
    path = home / "models" / "theirs" / "unet.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    capsys.readouterr()
    assert run(["download", "--verify", "theirs", "--json"]) == 1
    (result,) = objects(capsys)
    assert result["faults"][0].startswith("unet.safetensors has sha256")


def test_an_interrupted_download_ends_at_once_and_starts_no_other(web, home):
    names = ["improved-diffusion", "laion-prior", "conditioned-prior", "bigvgan-44k", "vggish"]
    for name in names:
        publish(web, name, bytes(200_000), Fault(stall_after=100_000))
    command = [sys.executable, "-m", "clipsonic_cli", "download", *names]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while web.sent < 400_000 or len(list(home.glob("weights/*/*.part"))) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        # It would wait for the silent server as long as a download does, a minute, if for anything.
        assert process.wait(timeout=55) == 130
        assert process.stderr.read().count("\n") == 1
    finally:
        process.kill()
        process.communicate()
    assert len(web.requests) == 4
    assert len(list(home.glob("weights/*/*.part"))) == 4


def test_a_fault_nobody_foresaw_does_not_hide_the_others(web, capsys, monkeypatch):
    publish(web, "improved-diffusion", b"weights")
    install = published.install

    def fail(row, *, report):
        if row.name == "laion-prior":
            raise RuntimeError("unforeseen")
        install(row, report=report)

    monkeypatch.setattr(published, "install", fail)
    assert run(["download", "laion-prior", "improved-diffusion"]) == 1
    shown = capsys.readouterr()
    assert shown.out.endswith("improved-diffusion\n")
    assert "unforeseen" in shown.err


def test_a_dry_run_fetches_nothing(web, home, capsys):
    assert run(["download", "--for", "pd", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["openai-clip", "laion-prior"]
    assert "are free" in shown.err
    assert not web.requests
    assert not home.exists()


@pytest.mark.parametrize(
    ("parts", "missing", "origin"),
    [
        (["unet"], "for iq, zs: clip; ", "'whole': {whole}/clip.safetensors"),
        (["vocoder"], "for iq, zs: clip, unet; ", "whoever shared it has them"),
        (["prior"], "for pd: clip, unet. Copy clip.safetensors, unet.safetensors", "'whole'"),
    ],
)
def test_of_a_shared_part_it_is_said_what_it_lacks(home, micro, capsys, parts, missing, origin):
    whole = home / "models" / "whole"
    shutil.copytree(micro, whole)
    for part in parts:
        assert run(["download", str(micro / f"{part}.safetensors"), "--as", "one"]) == 0
    said = capsys.readouterr().err
    assert missing in said
    assert origin.format(whole=whole) in said
    assert "clipsonic generate" not in said
    shutil.copy(whole / "clip.safetensors", home / "models" / "one")
    assert (parts == ["unet"]) == ("iq" in model_folders.find("one").modes())


def test_a_unet_of_the_papers_clip_says_how_to_get_it(home, micro, tmp_path, capsys):
    unet = bundle.load(micro / "unet.safetensors", kind="unet")
    header = dataclasses.replace(unet.header, encoder=published.OPENAI_CLIP)
    bundle.write(tmp_path / "unet.safetensors", dataclasses.replace(unet, header=header))
    assert run(["download", str(tmp_path / "unet.safetensors"), "--as", "one"]) == 0
    assert "clipsonic download openai-clip" in capsys.readouterr().err


def test_offline_nothing_is_requested(web, monkeypatch, capsys):
    monkeypatch.setenv("CLIPSONIC_OFFLINE", "1")
    assert run(["download", "improved-diffusion"]) == 1
    assert "CLIPSONIC_OFFLINE" in capsys.readouterr().err
    assert not web.requests


def test_without_a_network_it_is_said_which_files_to_copy_where(web, home, monkeypatch, capsys):
    monkeypatch.setattr(sources, "sources", lambda *_, **__: ["http://127.0.0.1:1/a"])
    monkeypatch.setattr(sources, "sleep", lambda _seconds: None)
    assert run(["download", "vggish"]) == 1
    *notes, error = capsys.readouterr().err.splitlines()
    assert notes[0] == "note: 127.0.0.1:1 cannot be reached; no network? (attempt 2 of 5)"
    assert len(notes) == 4
    assert f"copy into {home / 'weights' / 'vggish'}" in error
    for file in ASSETS["vggish"].files:
        assert error.count(file.urls[0]) == 1


def test_a_model_that_someone_shared_is_installed_and_makes_sound(web, micro, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        for part in micro.glob("*.safetensors"):
            file.write(part, f"music/{part.name}")
    url = web.serve(
        "/shared/music.zip", (tmp_path / "m.zip").read_bytes(), Fault(cut_after=999), Fault()
    )
    assert run(["download", url, "--as", "violins"]) == 0
    assert "--model violins" in capsys.readouterr().err
    sound = tmp_path / "a.wav"
    arguments = ["generate", "rain", "--model", "violins", "--steps", "1", "-s", "0.5"]
    assert run([*arguments, "-o", str(sound)]) == 0
    assert sound.exists()
    assert run(["download", "--remove", "violins"]) == 2  # a model is not deleted unasked
    assert run(["download", "--remove", "violins", "--yes"]) == 0
    assert "violins" not in model_folders.names()


@pytest.mark.parametrize("honest", [True, False])
def test_a_model_of_the_hub_is_verified_by_what_the_hub_states(
    web, micro, capsys, monkeypatch, honest
):
    monkeypatch.delenv("CLIPSONIC_MIRROR")
    monkeypatch.setenv("HF_ENDPOINT", web.base)
    parts = {path.name: path.read_bytes() for path in sorted(micro.glob("*.safetensors"))}
    siblings = [{"rfilename": name} for name in ("run.py", "sub/unet.safetensors")]
    for name, content in parts.items():
        web.serve(f"/owner/violins/resolve/main/{name}", content)
        digest = hashlib.sha256(content if honest else b"").hexdigest()
        siblings += [{"rfilename": name, "size": len(content), "lfs": {"sha256": digest}}]
    result = json.dumps({"siblings": siblings}).encode()
    web.serve("/api/models/owner/violins/revision/main?blobs=true", result)
    assert run(["download", "hf:owner/violins", "--json"]) == (0 if honest else 1)
    found = [part for result in objects(capsys) for part in result["parts"]]
    assert {f"{part}.safetensors" for part in found} == (set(parts) if honest else set())
    assert ("violins" in model_folders.names()) == honest
    assert not any("run.py" in request.path for request in web.requests)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vgish"], "Did you mean 'vggish'?"),
        (["--for", "evall"], "Did you mean 'eval'?"),
        (["--list", "--verify"], "--list and --verify"),
        (["--remove"], "Nothing to remove"),
        (["--remove", "minni"], "Did you mean 'mini'?"),
        (["--remove", "mini", "--yes"], "part of clipsonic"),
        (["vggish", "--as", "x"], "--as"),
        (["./nothing.zip"], "nothing.zip"),
        (["--verify", "hf:owner/violins"], "--verify"),
        (["--list", "./nothing.zip"], "--list"),
        (["--remove", "vggish", "./nothing.zip"], "--remove"),
        (["https://example.org/model.pt"], "model.pt"),
    ],
)
def test_a_mistake_ends_in_one_line_and_code_2(arguments, said, capsys):
    assert run(["download", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_the_size_of_a_file_is_known_before_its_server_answers():
    reports = []
    row = ASSETS["vggish"]
    report = download._reporting(row, lambda *values: reports.append(values), threading.Event())
    for file in row.files:
        report(file.name, 0, 0)
    report(row.files[0].name, 5, 7)
    assert reports[0] == ("vggish 1/2", 0, row.size)
    assert reports[1] == ("vggish 2/2", 0, 0)
    assert reports[2] == ("vggish 1/2", 5, 7)
