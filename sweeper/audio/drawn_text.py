"""Names in pictures: a class may be called anything."""

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """In the block, matplotlib shows names as they are: no dollar begins a formula, and no letter makes it warn."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ", UserWarning)
        yield
