from prompts import BY_CATEGORY, DOING, PLAIN, label_texts


def label(name, category="animal", synonyms=()):
    return {"label": name, "category": category, "synonyms": list(synonyms)}


def test_a_label_without_verbs_has_the_plain_prompts_and_its_categorys():
    texts = label_texts(label("violin", "instrument"))
    assert texts == [form.format("violin") for form in PLAIN + BY_CATEGORY["instrument"]]
    assert "a photo of violin" in texts


def test_what_an_animal_does_stands_before_and_after_it():
    texts = label_texts(label("dog"))
    assert {"a dog barking", "a barking dog"} <= set(texts)
    assert len(texts) == len(PLAIN) + len(BY_CATEGORY["animal"]) + 2 * len(DOING["dog"].split())


def test_the_name_comes_as_often_as_all_synonyms_together():
    texts = label_texts(label("sheep", synonyms=["lamb", "ram", "ewe"]))
    assert texts.count("a photo of sheep") == 3
    for word in ("lamb", "ram", "ewe"):
        assert texts.count(f"a photo of {word}") == 1


def test_a_category_without_prompts_of_its_own_has_the_plain_ones():
    assert len(label_texts(label("vacuum cleaner", "thing"))) == len(PLAIN)
