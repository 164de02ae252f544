"""What configs are checked for, and what of them ids are made of. No torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sweeper.study import Network


def without(config: Network, kind: type[Network], *names: str, **defaults: Any) -> dict[str, Any]:
    """The fields that ids are made of: without ``names``, and without those that have their default."""
    if type(config) is not kind:  # a network that somebody derived from it
        return Network.decides(config)
    values = asdict(config)
    left_out = {*names, *(name for name, value in defaults.items() if values[name] == value)}
    return {name: value for name, value in values.items() if name not in left_out}


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(map(repr, choices))}")


def check_positive(config: object, *names: str) -> None:
    """Raise ``ValueError`` unless each of these fields is at least 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)!r} must be at least 1")


def check_widths(name: str, widths: tuple[int, ...], count: int) -> None:
    """Raise ``ValueError`` unless it is a tuple of so many widths."""
    # A list would make the config unhashable, and unequal to the same config read back.
    if not isinstance(widths, tuple) or len(widths) != count or min(widths) < 1:
        raise ValueError(f"{name}={widths!r} must be a tuple of {count} widths of at least 1")


def check_heads(width: int, heads: int) -> None:
    """Raise ``ValueError`` unless the heads share the width."""
    if width % heads:
        raise ValueError(f"heads={heads} does not divide the Transformer's width {width}; choose a divisor")


def check_dropout(dropout: float) -> None:
    """Raise ``ValueError`` unless it is a share below 1."""
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout={dropout!r} must lie in [0, 1)")
