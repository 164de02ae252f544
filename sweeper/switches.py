"""Switches: single fields of frozen configurations, those of their parts by dotted names such as `ema.decay`."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, TypeVar

Config = TypeVar("Config")


def switched(config: Config, switches: Mapping[str, Any]) -> Config:
    """A frozen dataclass with other values; fields of its parts by dotted names.

    Raises:
        ValueError: there is no such field, or its part is None.
    """
    for name, value in switches.items():
        first, _, rest = name.partition(".")
        known = [f.name for f in fields(config)]  # type: ignore[arg-type]
        if first not in known:
            raise ValueError(f"{name!r} is not a field of {type(config).__name__}; it has: {', '.join(known)}")
        if rest and not is_dataclass(part := getattr(config, first)):
            raise ValueError(f"{name!r}: {first} is {part!r}, which has no fields; switch {first!r} itself")
        inner = switched(getattr(config, first), {rest: value}) if rest else value
        config = replace(config, **{first: inner})  # type: ignore[type-var]
    return config


def flat_fields(config: Any) -> dict[str, Any]:
    """Every field of a frozen dataclass, those of its parts as `a.b`."""
    return _flat(asdict(config))


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{path}{name}.") if isinstance(inner, Mapping) else {f"{path}{name}": inner}
    return flat
