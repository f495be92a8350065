"""Who hears for which metric."""

import pytest

from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.evaluation import backbones
from clipsonic_cli.evaluation.backbones import choose, notes_of


def test_the_embedded_network_stands_in_for_what_is_not_here_and_says_so():
    chosen = choose(["fad", "clap", "fad"])
    assert [one.backbone for one in chosen] == ["mini", "mini"]
    [note] = notes_of(chosen)
    assert "fad[mini], clap[mini]" in note
    assert note.endswith("clipsonic download vggish clap")


def test_the_papers_networks_hear_where_they_are_here(monkeypatch):
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    chosen = choose(["fad", "kad", "clap"])
    assert [one.backbone for one in chosen] == ["vggish", "vggish", "clap"]
    assert notes_of(chosen) == []


def test_who_is_asked_for_by_name_needs_no_note():
    [chosen] = choose(["fad:mini"])
    assert (chosen.backbone, notes_of([chosen])) == ("mini", [])


def test_a_metric_is_heard_once_by_each_network(monkeypatch):
    names = ["fad", "fad:mini", "fad"]
    [chosen] = choose(names)
    assert (chosen.backbone, chosen.instead_of) == ("mini", "vggish")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    assert [one.backbone for one in choose(names)] == ["vggish", "mini"]


def test_who_is_insisted_on_has_to_be_here():
    with pytest.raises(MissingWeights, match="clipsonic download clap"):
        choose(["fad:clap"])


def test_only_who_has_no_tagger_of_its_own_has_to_read(monkeypatch):
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    names = ["kl", "kl:panns", "clap", "accuracy", "fad", "fad:panns"]
    assert [one.reads for one in choose(names)] == [True, False, True, True, False, False]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("kl:vggish", "reads texts, which 'vggish' does not. Known: clap, panns, mini"),
        ("accuracy:panns", "reads texts, which 'panns' does not. Known: clap, mini"),
        ("clap:vggish", "reads texts, which 'vggish' does not. Known: clap, mini"),
        ("similarity:mini", "hears nothing"),
        ("fda", "Did you mean 'fad'"),
        ("fad:clpa", "Did you mean 'clap'"),
    ],
)
def test_what_does_not_go_together_is_refused(name, reason):
    with pytest.raises(UsageError, match=reason):
        choose([name])


def test_similarity_needs_nobody():
    [chosen] = choose(["similarity"])
    assert (chosen.backbone, chosen.instead_of) == ("clip", None)
