"""What people call a picture: prompts around a label, and ImageNet's own words."""

from typing import Any

PLAIN = ("{}", "a photo of {}", "a photo of a {}", "a picture of a {}", "the sound of a {}")
BY_CATEGORY = {
    "instrument": ("someone playing the {}", "a person playing {}", "{} music", "a {} solo"),
    "ensemble": ("{} playing", "a concert of {}", "{} music"),
    "animal": ("a {} making a noise", "the voice of a {}", "a close-up of a {}"),
}
DOING = {
    "dog": "barking growling howling",
    "cat": "meowing purring hissing",
    "cow": "mooing",
    "horse": "neighing galloping whinnying",
    "sheep": "bleating",
    "pig": "grunting oinking squealing",
    "duck": "quacking",
    "chicken": "clucking",
    "rooster": "crowing",
    "owl": "hooting",
    "songbird": "singing chirping tweeting",
    "frog": "croaking",
    "bee": "buzzing",
    "grasshopper": "chirping",
    "elephant": "trumpeting",
    "crow": "cawing",
    "wolf": "howling",
    "sea lion": "barking",
    "car": "driving honking starting",
    "helicopter": "flying hovering",
    "train": "passing whistling",
    "motorcycle": "driving starting",
    "fire truck": "wailing",
    "telephone": "ringing",
    "bell": "ringing tolling",
    "rain": "falling",
    "goat": "bleating",
    "goose": "honking",
    "lion": "roaring growling",
    "monkey": "screeching chattering",
    "mosquito": "buzzing whining",
    "peacock": "calling screaming",
    "airplane": "flying starting landing",
    "bus": "driving stopping",
    "truck": "driving passing",
    "ship horn": "blowing sounding",
    "car horn": "honking beeping",
    "cart": "rolling rattling",
    "acoustic guitar": "strumming fingerpicking",
    "electric guitar": "shredding",
    "banjo": "picking",
    "violin": "bowing fiddling",
    "harp": "plucking",
    "drum kit": "drumming",
    "bongo": "tapping",
    "tambourine": "shaking jingling",
    "maracas": "shaking rattling",
    "sleigh bells": "jingling",
    "triangle": "tinkling",
    "cymbal": "crashing",
    "timpani": "rumbling rolling",
    "whistle": "whistling",
    "bagpipes": "droning",
    "singing": "singing",
    "choir": "singing chanting",
    "opera singing": "singing",
    "laughing": "laughing giggling chuckling",
    "screaming": "screaming yelling",
    "keyboard typing": "typing",
    "footsteps": "walking",
    "eating": "chewing crunching",
    "digging": "digging shovelling",
    "camel": "groaning",
    "axe": "chopping",
    "saw": "sawing cutting",
    "drill": "drilling",
    "chainsaw": "cutting roaring",
    "hammer": "hammering banging",
    "door": "creaking closing slamming opening",
    "fire": "burning crackling",
    "thunder": "rumbling rolling",
    "wind": "blowing howling",
    "stream": "flowing babbling",
    "waterfall": "roaring rushing",
    "explosion": "exploding",
    "sword": "clashing",
    "glass breaking": "shattering",
    "kettle": "boiling whistling",
    "match": "lighting",
    "metronome": "ticking",
    "rustling leaves": "rustling",
}
IRREGULAR = {"sheep": "sheep", "wolf": "wolves", "goose": "geese", "cattle": "cattle"}
COUNTED = ("instrument", "animal")
"""Categories whose names are of things that one can count."""


def plural(word: str) -> str:
    """Return the plural of an English noun, such as "ponies" of "pony"; "drums" stays."""
    if word in IRREGULAR or word.endswith("s"):
        return IRREGULAR.get(word, word)
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("sh", "ch", "x", "mosquito")) else f"{word}s"


def label_texts(label: dict[str, Any]) -> list[str]:
    """Return the prompts of one entry of ``labels.json``; its name as often as all synonyms."""
    texts: list[str] = []
    for word in [label["label"]] * max(1, len(label["synonyms"])) + label["synonyms"]:
        texts += [form.format(word) for form in PLAIN + BY_CATEGORY.get(label["category"], ())]
        if label["category"] in COUNTED:
            texts.append(plural(word))
        for verb in DOING.get(label["label"], "").split():
            texts += [f"a {word} {verb}", f"a {verb} {word}"]
            if label["category"] == "instrument":
                texts += [f"someone {verb}", f"someone {verb} the {word}"]
    return texts


def imagenet_texts(label_of: dict[int, str]) -> list[list[str]]:
    """Return the prompts of each of ImageNet's 1000 classes.

    Args:
        label_of: The label of the classes that have one; its name is added to theirs.
    """
    from timm.data.imagenet_info import ImageNetInfo  # for this step alone

    info = ImageNetInfo()
    texts = []
    for index in range(1000):
        words = [word.strip() for word in info.index_to_description(index).split(",")]
        described = info.index_to_description(index, detailed=True)
        if index in label_of:
            words.append(label_of[index])
        texts.append([form.format(w) for w in words for form in PLAIN[:4]] + [described[:150]])
    return texts
