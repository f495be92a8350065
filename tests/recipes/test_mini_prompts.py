import pytest
from prompts import BY_CATEGORY, DOING, PLAIN, label_texts, plural


def label(name, category="animal", synonyms=()):
    return {"label": name, "category": category, "synonyms": list(synonyms)}


def test_a_label_without_verbs_has_the_plain_prompts_and_its_categorys():
    texts = label_texts(label("oboe", "instrument"))
    forms = PLAIN + BY_CATEGORY["instrument"]
    assert texts == [*(form.format("oboe") for form in forms), "oboes"]
    assert "a photo of oboe" in texts


def test_what_an_animal_does_stands_before_and_after_it():
    texts = label_texts(label("dog"))
    assert {"a dog barking", "a barking dog"} <= set(texts)
    assert len(texts) == len(PLAIN) + len(BY_CATEGORY["animal"]) + 1 + 2 * len(DOING["dog"].split())


def test_the_name_comes_as_often_as_all_synonyms_together():
    texts = label_texts(label("sheep", synonyms=["lamb", "ram", "ewe"]))
    assert texts.count("a photo of sheep") == 3
    for word in ("lamb", "ram", "ewe"):
        assert texts.count(f"a photo of {word}") == 1


def test_a_category_without_prompts_of_its_own_has_the_plain_ones():
    assert len(label_texts(label("vacuum cleaner", "thing"))) == len(PLAIN)


def test_someone_does_what_an_instrument_is_for():
    texts = label_texts(label("acoustic guitar", "instrument", ["guitar"]))
    assert {"someone strumming", "someone strumming the guitar"} <= set(texts)
    assert not any(text.startswith("someone") for text in label_texts(label("dog")))


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "dogs"),
        ("pony", "ponies"),
        ("monkey", "monkeys"),
        ("wolf", "wolves"),
        ("sheep", "sheep"),
        ("drums", "drums"),
        ("finch", "finches"),
        ("mosquito", "mosquitoes"),
    ],
)
def test_plurals_are_those_of_english(one, many):
    assert plural(one) == many
