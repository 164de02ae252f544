"""What takes seconds says so at once: a spinner where there is a terminal, one line elsewhere.

It goes to stderr: what a command prints may be read by a program.
"""

import contextlib
import sys
from collections.abc import Iterator

from sweeper import signals


@contextlib.contextmanager
def waiting(words: str) -> Iterator[None]:
    """Show `words`, such as "starting Ray", while the block runs."""
    from rich.console import Console  # a command that is done at once needs none
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        console.print(f"{words} …", soft_wrap=True)
        yield
        return
    # What is printed meanwhile must not end in stderr, unless both are the same terminal.
    live = Live(Spinner("dots", f"{words} …"), console=console, transient=True, redirect_stdout=sys.stdout.isatty())
    with signals.held_back(*signals.SIGNALS):  # its thread would take them where the block holds them back
        live.start()
    try:
        yield
    finally:
        live.stop()
