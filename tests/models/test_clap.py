import os
import sys
import types
import zipfile
from dataclasses import replace

import pytest
import torch
from published_clap import SMALL, in_laions_spelling, in_transformers_spelling, random_clap

from clipsonic_cli.errors import BadBundle, ClipsonicError
from clipsonic_cli.models.clap import (
    CONSTANTS,
    ClapConfig,
    ClapNetwork,
    build_clap,
    clap_identity,
    constants,
    from_laion,
    from_transformers,
    leaf_of,
)
from clipsonic_cli.models.optional import import_transformers
from clipsonic_cli.models.state_dict import outline
from clipsonic_cli.store.foreign import read_foreign

IDS = torch.tensor([[0, 7, 9, 2, 1, 1], [0, 8, 2, 1, 1, 1]])


@pytest.fixture(scope="module")
def network():
    return random_clap()


@pytest.fixture(scope="module")
def weights(network):
    return from_transformers(in_transformers_spelling(network), SMALL)


@pytest.fixture(scope="module")
def mel():
    noise = torch.randn(2, 1, 1001, 64, generator=torch.Generator().manual_seed(1))
    return (
        5 * noise
        + torch.stack([torch.full((64,), -40.0), torch.linspace(0, -100, 64)])[:, None, None]
    )


def numpy_1(path):
    """Give numpy's function in a torch file the name it had when LAION wrote theirs."""
    now, then = b"cnumpy._core.multiarray\nscalar", b"cnumpy.core.multiarray\nscalar"
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    assert sum(now in content for content in entries.values()) == 1
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content.replace(now, then))


def test_both_published_forms_give_the_same_weights_under_the_same_names(network, weights):
    laions = from_laion(in_laions_spelling(network), SMALL)
    assert laions.keys() == weights.keys()
    assert all(torch.equal(laions[name], weight) for name, weight in weights.items())
    assert clap_identity(laions) == clap_identity(weights)


def test_the_weights_are_all_that_the_network_learns(network, weights):
    learned = {k for k in network.state_dict() if leaf_of(k) not in CONSTANTS}
    assert weights.keys() == learned
    assert {k for k, _ in network.named_parameters()} <= learned


def test_the_papers_network_has_the_published_size():
    network = outline(lambda: ClapNetwork(ClapConfig()), "clap")
    assert sum(p.numel() for p in network.parameters()) == 153_507_530


def test_the_papers_checkpoint_has_the_tensors_laions_code_makes():
    # Counted once in the state dict of LAION's own network, with the position_ids of its day.
    network = outline(lambda: ClapNetwork(ClapConfig()), "clap")
    outlined = in_laions_spelling(network, ClapConfig())["state_dict"]
    state = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in outlined.items()}
    assert len(state) == 448
    assert len(from_laion({"state_dict": state})) == 458  # query, key and value apart


def test_what_is_not_learned_is_what_transformers_makes_itself(network):
    fresh = import_transformers().ClapModel(network.clap.config)
    made = constants(SMALL)
    seen = {leaf_of(name) for name, _ in fresh.named_buffers()} - {"running_mean", "running_var"}
    assert seen == made.keys()
    for name, buffer in fresh.named_buffers():
        if leaf_of(name) in made:
            assert torch.equal(buffer, made[leaf_of(name)])
            assert torch.equal(buffer, network.clap.state_dict()[name])


def test_embeddings_have_unit_norm_and_tell_inputs_apart(network, mel):
    for embed in (network.encode_text(IDS), network.encode_audio(mel)):
        assert embed.shape == (2, SMALL.dim)
        torch.testing.assert_close(embed.norm(dim=1), torch.ones(2))
        assert not torch.allclose(embed[0], embed[1], atol=1e-3)


def test_padding_changes_no_embedding(network):
    alone = network.encode_text(IDS[1:, :3])
    torch.testing.assert_close(network.encode_text(IDS)[1:], alone, atol=1e-5, rtol=1e-4)


def test_one_mel_says_what_four_do_where_no_sound_is_marked_as_long(network, mel):
    def of_four(marked):
        longer = torch.full((2, 1), marked)
        four = mel.expand(-1, 4, -1, -1)
        return network.clap.get_audio_features(four, is_longer=longer).pooler_output

    torch.testing.assert_close(network.encode_audio(mel), of_four(False), atol=1e-6, rtol=0)
    assert not torch.allclose(network.encode_audio(mel), of_four(True), atol=1e-3)


def test_every_layer_norm_is_laions(network):
    norms = [m for m in network.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {1e-5}


def test_building_leaves_the_global_generator_alone(weights):
    before = torch.get_rng_state()
    build_clap(SMALL, weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision_weights_are_computed_in_float32(network, weights):
    other = build_clap(SMALL, {k: v.half() for k, v in weights.items()})
    assert {p.dtype for p in other.parameters()} == {torch.float32}
    assert not any(module.training for module in other.modules())
    torch.testing.assert_close(
        other.encode_text(IDS), network.encode_text(IDS), atol=1e-2, rtol=1e-2
    )


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("module.audio_branch.bn0.weight", None, r"missing \S+batch_norm\.weight"),
        ("module.audio_branch.layers.0.blocks.1.attn.qkv.bias", None, r"missing \S+query\.bias"),
        ("module.text_branch.pooler.dense.bias", torch.zeros(3), r"is \(3,\) where \(16,\)"),
        ("module.visual.conv1.weight", torch.zeros(3), r"unexpected visual\.conv1\.weight"),
        ("module.audio_branch.layers.0.blocks.0.attn.gate", torch.zeros(3), r"unexpected \S+gate"),
        ("module.audio_branch.layers.0.blocks.0.attn.qkv.weight", torch.ones(24, 9), r"\(8, 9\)"),
    ],
)
def test_a_fault_of_laions_form_is_named(network, name, change, fault):
    checkpoint = in_laions_spelling(network)
    checkpoint["state_dict"].pop(name, None)
    if change is not None:
        checkpoint["state_dict"][name] = change
    with pytest.raises(BadBundle, match=fault):
        from_laion(checkpoint, SMALL)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("text_projection.linear1.bias", None, r"missing clap\.text_projection\.linear1\.bias"),
        ("logit_scale_a", torch.zeros(2), r"logit_scale_a is \(2,\) where \(\) is"),
        ("vision_model.weight", torch.zeros(3), r"unexpected clap\.vision_model\.weight"),
    ],
)
def test_a_fault_of_transformers_form_is_named(network, name, change, fault):
    state = in_transformers_spelling(network)
    state.pop(name, None)
    if change is not None:
        state[name] = change
    with pytest.raises(BadBundle, match=fault):
        from_transformers(state, SMALL)


def test_many_faults_are_one_short_line(network):
    with pytest.raises(BadBundle, match=r"^[^\n]{1,800}$"):
        from_laion(in_laions_spelling(network))  # a small one where the paper's is expected


def test_a_checkpoint_without_the_constants_of_its_day_is_as_good(network, weights):
    checkpoint = in_laions_spelling(network)
    del checkpoint["state_dict"]["module.text_branch.embeddings.position_ids"]
    assert from_laion(checkpoint, SMALL).keys() == weights.keys()


@pytest.mark.parametrize("made", [None, [], {}, {"state_dict": {}}, {"state_dict": {"a": 1}}, 3])
def test_what_is_no_checkpoint_is_rejected(made):
    for adapter in (from_laion, from_transformers):
        with pytest.raises(BadBundle, match="no checkpoint of CLAP"):
            adapter(made, SMALL)


@pytest.mark.parametrize("old", [True, False], ids=["numpy 1", "numpy 2"])
def test_laions_file_is_read_with_the_numbers_of_its_training(tmp_path, network, weights, old):
    path = tmp_path / "630k.pt"
    torch.save(in_laions_spelling(network), path)
    if old:
        numpy_1(path)
    read = from_laion(read_foreign(path), SMALL)
    assert all(torch.equal(read[name], weight) for name, weight in weights.items())


def test_a_malicious_checkpoint_is_rejected_and_not_executed(tmp_path, network):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({**in_laions_spelling(network), "name": Evil()}, tmp_path / "630k.pt")
    with pytest.raises(BadBundle, match="run code, which was not done"):
        read_foreign(tmp_path / "630k.pt")
    assert not (tmp_path / "executed").exists()


def test_the_identity_changes_with_any_weight(weights):
    before = clap_identity(weights)
    assert before == clap_identity(dict(reversed(weights.items())))
    changed = {**weights, "clap.logit_scale_a": weights["clap.logit_scale_a"] + 1}
    assert before != clap_identity(changed)
    assert before.startswith("clap-")


@pytest.mark.parametrize("change", [{"text_dim": 15}, {"audio_heads": (3, 3, 3, 3)}])
def test_sizes_of_no_network_are_rejected(change):
    with pytest.raises(BadBundle, match=r"^'clap' describes a network .* be built: [^\n]+$"):
        outline(lambda: ClapNetwork(replace(SMALL, **change)), "clap")


@pytest.mark.parametrize("change", [{"audio_depths": (1, 1)}, {"max_text_len": 513}])
def test_a_config_that_contradicts_itself_is_a_value_error(change):
    with pytest.raises(ValueError, match=r"four stages|max_text_len is 513, over 512"):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("installed", "reason"),
    [(None, "not installed"), (types.SimpleNamespace(__version__="4.57.1"), "this is 4.57.1")],
)
def test_without_transformers_one_line_says_how_to_install_it(monkeypatch, installed, reason):
    monkeypatch.setitem(sys.modules, "transformers", installed)
    with pytest.raises(ClipsonicError, match=reason) as caught:
        build_clap(SMALL, {})
    assert str(caught.value).endswith('python -m pip install "transformers>=5"')
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_papers_sizes_load_from_files_of_both_forms(tmp_path):
    paper = ClapConfig()
    network = random_clap(paper)
    torch.save(in_laions_spelling(network, paper), tmp_path / "laion.pt")
    torch.save(in_transformers_spelling(network), tmp_path / "pytorch_model.bin")
    laions = from_laion(read_foreign(tmp_path / "laion.pt"))
    hubs = from_transformers(read_foreign(tmp_path / "pytorch_model.bin"))
    assert clap_identity(laions) == clap_identity(hubs)
    ids = torch.nn.functional.pad(IDS, (0, 71), value=1)
    assert torch.equal(build_clap(paper, laions).encode_text(ids), network.encode_text(ids))
