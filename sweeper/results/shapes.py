"""JSON from a file, held against the shape that its readers rely on: a study may come from anybody."""

import json
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeAlias

MOST = 2**63  # beyond it, a whole number is no column's

# A list of one shape; a list with one shape for each of its items; an object, of whose names those that are there are
# looked at; or the kinds of a value.
Shape: TypeAlias = "list[Shape] | tuple[Shape, ...] | dict[str, Shape] | Values | type | UnionType"


@dataclass(frozen=True)
class Values:
    """An object with any names, and values of one shape."""

    shape: "Shape"


def strict_json(data: bytes) -> Any:
    """The JSON value that a file holds.

    Raises:
        ValueError, RecursionError: it holds none, or a number that is none, or one too large for a column.
    """
    return json.loads(data.decode(), parse_constant=_refused, parse_float=_float, parse_int=_int)


def mismatch(value: object, shape: "Shape", name: str) -> str:
    """Where a value has not its shape, in words such as `classes[3] is 5, not text`; '' where it has.

    Args:
        name: what the words call the value; '' for one whose parts are called by their own names.
    """
    if isinstance(shape, list | tuple):
        if not isinstance(value, list) or (isinstance(shape, tuple) and len(value) != len(shape)):
            return _said(name, value, "a list" if isinstance(shape, list) else f"a list of {len(shape)}")
        each = shape * len(value) if isinstance(shape, list) else shape
        parts = [(item, each[i], f"{name}[{i}]") for i, item in enumerate(value)]
    elif isinstance(shape, dict | Values):
        if not isinstance(value, dict):
            return _said(name, value, "an object")
        named = dict.fromkeys(value, shape.shape) if isinstance(shape, Values) else shape
        parts = [(value[key], named[key], f"{name}.{key}".removeprefix(".")) for key in named if key in value]
    else:
        kinds = shape.__args__ if isinstance(shape, UnionType) else (shape,)
        # True and False are numbers to Python, and 1 is one with a fraction to JSON.
        is_one = bool in kinds if isinstance(value, bool) else isinstance(value, shape)
        is_one = is_one or (float in kinds and type(value) is int)
        return "" if is_one else _said(name, value, " or ".join(_WORDS[kind] for kind in kinds))
    return next(filter(None, (mismatch(*part) for part in parts)), "")


_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _said(name: str, value: object, wanted: str) -> str:
    return f"{name or 'it'} is {json.dumps(value)[:40]}, not {wanted}"


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _float(text: str) -> float:
    if abs(value := float(text)) == float("inf"):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _int(text: str) -> int:
    if abs(value := int(text)) >= MOST:
        raise ValueError(f"{text[:40]} is too large")
    return value
