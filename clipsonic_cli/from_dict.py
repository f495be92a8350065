"""JSON values into frozen dataclasses, with nothing guessed, left over or filled in."""

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from clipsonic_cli.ranges import shown

T = TypeVar("T")

MOST = 1e30
"""Numbers in files must be below it: larger ones fit no field, and some fit no float."""
MAX_ITEMS = 100_000
"""Most items of a list."""


def from_dict(kind: type[T], value: object, where: str) -> T:
    """Build a value from JSON, the inverse of ``dataclasses.asdict``.

    Args:
        kind: A dataclass, or a type of its fields: int, float, str, bool, None, dict, Literal of
            strings, unions and ``tuple[X, ...]``.
        value: The JSON value.
        where: Its path, for messages.

    Raises:
        ValueError: A field is missing or unknown, or has a value of another type; the message
            says which, and what was seen.
    """
    restored: T = _restore(kind, value, where)
    return restored


def _restore(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return value if isinstance(value, kind) else _restore_dataclass(kind, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError(f"{where} is {shown(value)}, allowed: {', '.join(map(str, arguments))}")
    if origin is types.UnionType or origin is typing.Union:
        members = [member for member in arguments if member is not types.NoneType]
        if value is not None and len(members) == 1:
            return _restore(members[0], value, where)
        for member in arguments:
            try:
                return _restore(member, value, where)
            except ValueError:
                continue
        raise ValueError(f"{where} is {shown(value)}, which is none of {kind}")
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
            raise ValueError(f"{where} is {shown(value)}, not a list of up to {MAX_ITEMS:,} items")
        return tuple(_restore(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    plain = origin or kind
    if plain is float and type(value) in (int, float):
        if abs(value) > MOST:  # NaN is for the dataclass to judge
            raise ValueError(f"{where} is {shown(value)}, not a number below {MOST:g}")
        return float(value)
    if plain is int and type(value) is int and not -MOST <= value <= MOST:
        raise ValueError(f"{where} is {shown(value)}, not a whole number below {MOST:g}")
    if type(value) is plain:
        return value
    raise ValueError(f"{where} is {shown(value)}, not of type {plain.__name__}")


def _restore_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {shown(value)}, not an object")
    hints = typing.get_type_hints(kind)
    if missing := hints.keys() - value.keys():
        raise ValueError(f"{where} lacks the field '{min(missing)}'")
    if unknown := value.keys() - hints.keys():
        known = ", ".join(hints)
        raise ValueError(f"{where} has the unknown field '{min(unknown)}'; known: {known}")
    fields = {n: _restore(hint, value[n], f"{where}.{n}") for n, hint in hints.items()}
    return kind(**fields)
