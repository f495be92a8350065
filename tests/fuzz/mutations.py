"""Damage to files: of bytes, of the words within text, and of the values within JSON."""

import json
from random import Random
from typing import Any

WORDS = (
    *("NaN", "Infinity", "-1", "0", "1e999", "9" * 400, "9" * 5000, "0.1", "null", "true"),
    *('""', '"', "'", ",", "\t", "\n", "\r", "\0", "{", "}", "[", "]", "%s%n", "{0.__class__}"),
    *("\ufeff", "\u202e", "\u0130", "../../etc/passwd", "/dev/zero", "[/nope]", "[" * 100_000),
    *("a" * 70_000, "text", "file", "seed", "image", "x.png", "\ud800"),
)
"""What readers of text trip over."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**400, -(10**400)),
    *(0.0, -0.0, 1e-320, 1e308, float("nan"), float("inf"), "", " ", "\0", "\n", "\ud800"),
    *("a" * 70_000, "NaN", "/dev/zero", "../x", [], {}, [[]], [None], {"": None}, {"type": []}),
    *([0] * 200_000, list(range(100)), {str(n): n for n in range(2000)}),
)
"""What takes the place of a value."""
RAW = ("9" * 5000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "1e999")
"""What takes the place of a value in the text, as json writes no such thing."""
PLACE = "\x01place\x01"


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """Return bytes with one to four pieces changed."""
    made = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        _change(made, random)
    while made == content:
        _change(made, random)
    return bytes(made)


def mutated_text(text: str, random: Random) -> str:
    """Return text with values of a line of JSON changed, or where it is none with other words."""
    lines = text.splitlines(keepends=True) if _is_lines(text) else [text]
    number = random.randrange(len(lines)) if lines else 0
    try:
        value = json.loads(lines[number])
    except (ValueError, IndexError):
        return _spliced(text, random)
    if random.random() < 0.1:
        return _spliced(text, random)
    end = "\n" if lines[number].endswith("\n") else ""
    lines[number] = _mutated_json(value, random) + end
    if random.random() < 0.1:
        lines[number] *= random.choice((2, 50))
    return "".join(lines)


def _is_lines(text: str) -> bool:
    """Return whether a text is lines of JSON rather than one value."""
    first = text.partition("\n")[0]
    return len(first) > 1 and first[0] + first[-1] in ("{}", "[]")


def _change(made: bytearray, random: Random) -> None:
    start = random.randrange(len(made) + 1)
    # Half of the changes are near the beginning, where headers are.
    if random.random() < 0.5:
        start = min(start, random.randrange(256))
    stop = min(len(made), start + random.choice((1, 2, 4, 8, 64, 4096)))
    kind = random.randrange(7)
    if kind == 0 and start < len(made):
        made[start] ^= 1 << random.randrange(8)
    elif kind == 1:
        made[start:stop] = random.randbytes(stop - start)
    elif kind == 2:
        made[start:stop] = bytes([random.choice((0, 255))]) * (stop - start)
    elif kind == 3:
        del made[start : len(made) if random.random() < 0.5 else stop]
    elif kind == 4:
        made[start:start] = made[start:stop] * random.choice((1, 2, 1000))
    elif kind == 5:
        other = random.randrange(len(made) + 1)
        made[start:stop] = made[other : other + stop - start]
    else:
        made[start:start] = random.choice(WORDS).encode(errors="surrogatepass")


def _spliced(text: str, random: Random) -> str:
    for _ in range(random.choice((1, 1, 2, 4))):
        start = random.randrange(len(text) + 1)
        stop = min(len(text), start + random.choice((0, 1, 1, 5)))
        text = text[:start] + random.choice(WORDS) + text[stop:]
    return text


def _mutated_json(value: Any, random: Random) -> str:
    """Return the JSON text of a value, one to three of whose parts are others."""
    raw = None
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            value = random.choice(VALUES)
            continue
        holder, key = random.choice(places)
        kind = random.randrange(12)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[random.choice(("", "extra", "\ud800", "a" * 5000))] = random.choice(VALUES)
        elif kind == 2 and isinstance(holder, dict):
            holder[f"{PLACE}{key}"] = random.choice(VALUES)  # a key that is there twice
        elif kind == 3 and isinstance(holder[key], list):
            holder[key] = holder[key] * random.choice((0, 2, 1000))
        elif kind == 4:
            holder[key], raw = PLACE, random.choice(RAW)
        elif kind == 5:
            other, name = random.choice(places)
            holder[key] = json.loads(json.dumps(other[name] if name in _keys(other) else None))
        elif kind == 6 and isinstance(holder[key], int | float):
            holder[key] = _other_number(holder[key], random)
        else:
            holder[key] = random.choice(VALUES)
        value = json.loads(json.dumps(value))  # no part is in two places
    text = json.dumps(value, ensure_ascii=random.random() < 0.9)
    if raw is not None:
        text = text.replace(json.dumps(PLACE), raw, 1)
    return text.replace(json.dumps(PLACE)[1:-1], "")


def _other_number(number: float, random: Random) -> Any:
    if number != number or abs(number) > 1e15:
        return -1
    return random.choice((-number, number + 1, int(number) * 10**6, float(number), str(number)))


def _places(value: Any) -> Any:
    """Yield every container within a JSON value with every key of it."""
    stack = [value]
    while stack:
        holder = stack.pop()
        if isinstance(holder, dict | list):
            for key in list(_keys(holder))[:200]:
                yield holder, key
                stack.append(holder[key])


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))
