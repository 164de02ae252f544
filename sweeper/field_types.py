"""What the fields of a study and of its parts may hold: a text is no batch size, and a set can't travel as JSON."""

import enum
import functools
import math
import types
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_types(config: Any) -> None:
    """Refuse values that a field's type does not allow; a whole number is allowed where a number is.

    Raises:
        ValueError: naming the first field, its value, and what was expected.
    """
    kind: type = type(config)
    hints = _hints(kind)
    for field in fields(config):
        value = getattr(config, field.name)
        if not _fits(value, hints[field.name]):
            raise ValueError(f"{type(config).__name__}.{field.name} = {value!r}: expected {_words(hints[field.name])}")


def is_plain(value: Any) -> bool:
    """Whether a value survives being written as JSON and read back; a tuple may come back as a list."""
    if isinstance(value, tuple):
        return type(value) is tuple and all(map(is_plain, value))
    if isinstance(value, enum.Enum):
        return False
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


LONGEST_NAME = 500  # letters: more than any factorial's arm has, less than would break what makes lines of names
PLAIN = "a number, a text, a flag, None or a tuple of these; make anything else of it in build()"


def check_name(what: str, name: Any) -> None:
    """Raise ValueError where `name` can't name an arm, a recipe or a table; `what` says which of these it should."""
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable() or "/" in name:
        raise ValueError(f"{what} {name!r}: a name is a word or more, on one line, without slashes")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{what} {name[:30] + '…'!r}: its name has {len(name)} letters; at most {LONGEST_NAME}")


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def parts_of(name: str, given: Any, part: type) -> tuple[Any, ...]:
    """The parts of a study as a tuple, also where one was given without a list; raises ValueError for other types."""
    several = isinstance(given, Iterable) and not isinstance(given, part | str)
    parts = tuple(given) if several else (given,)
    if wrong := [each for each in parts if not isinstance(each, part)]:
        kind = "names" if part is str else f"{part.__name__}s"
        raise ValueError(f"{name} holds {wrong[0]!r}: expected {kind}")
    return parts


@functools.cache
def _hints(config: type) -> dict[str, Any]:
    return get_type_hints(config)


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in arguments)
    if origin is tuple:
        several = len(arguments) == 2 and arguments[1] is Ellipsis
        kinds = [arguments[0]] * len(value) if several and isinstance(value, tuple) else list(arguments)
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if kind is float:
        return is_number(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


_WORDS = {float: "a number", int: "a whole number", bool: "True or False", str: "a text", type(None): "None"}


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        each = "several of these" if arguments[-1] is Ellipsis else f"{len(arguments)} of these"
        return f"a tuple: {_words(arguments[0])}, {each}"
    return _WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")
